-- One row: one scope of the window; which part of its executions succeeded, and how many there
-- were.
SELECT
    scope_of($by, model_tier, pool_type, repo, task_type) AS scope,
    ratio(sum(successes), sum(executions)) AS value,
    total(executions) AS samples
FROM executions_between($window_start, $window_end)
GROUP BY ALL
