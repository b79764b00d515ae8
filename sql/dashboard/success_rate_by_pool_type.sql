-- One row: one pool type with executions.
-- Category: Success rate
-- Chart: bar chart
-- Filters: model_tier, pool_type, repo, task_type
SELECT
    pool_type,
    total(executions) AS executions,
    total(successes) AS successes,
    ratio(sum(successes), sum(executions)) AS success_rate,
    ratio(sum(duration_sum), sum(duration_count)) AS avg_duration_seconds,
    ratio(sum(actual_cost_sum), sum(actual_cost_count)) AS avg_cost,
    ratio(sum(quality_sum), sum(quality_count)) AS avg_quality
FROM executions_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
GROUP BY ALL
ORDER BY pool_type
