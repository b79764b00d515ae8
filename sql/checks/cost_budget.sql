-- One row: one scope of the window; what its executions cost in USD, and how many there were.
SELECT
    scope_of($by, model_tier, pool_type, repo, task_type) AS scope,
    coalesce(sum(actual_cost_sum), 0) AS value,
    total(executions) AS samples
FROM executions_between($window_start, $window_end)
GROUP BY ALL
