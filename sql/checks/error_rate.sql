-- One row: one scope of the window; which part of its executions names an error, and how many there
-- were.
SELECT
    scope_of($by, model_tier, pool_type, repo, task_type) AS scope,
    ratio(sum(errors), sum(executions)) AS value,
    total(executions) AS samples
FROM executions_between($window_start, $window_end)
GROUP BY ALL
