-- One row: one of the ten repositories with the most executions; the share is of all executions.
-- Category: Success rate
-- Chart: table
-- Filters: model_tier, pool_type, repo, task_type
SELECT
    repo,
    total(executions) AS executions,
    ratio(sum(executions), sum(sum(executions)) OVER ()) AS share,
    total(successes) AS successes,
    ratio(sum(successes), sum(executions)) AS success_rate,
    ratio(sum(duration_sum), sum(duration_count)) AS avg_duration_seconds,
    sum(actual_cost_sum) AS total_cost
FROM executions_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
GROUP BY ALL
ORDER BY executions DESC, repo ASC
LIMIT 10
