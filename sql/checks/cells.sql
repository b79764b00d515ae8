-- One row: one repo, task type, model tier and pool type of the window, with what explains a rate
-- or a cost.
SELECT
    model_tier,
    pool_type,
    repo,
    task_type,
    total(executions) AS executions,
    total(successes) AS successes,
    total(errors) AS errors,
    coalesce(sum(duration_sum), 0) AS seconds,
    coalesce(sum(actual_cost_sum), 0) AS cost
FROM executions_between($window_start, $window_end, $model_tier, $pool_type, $repo, $task_type)
GROUP BY ALL
ORDER BY ALL
