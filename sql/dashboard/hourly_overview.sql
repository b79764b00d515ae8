-- One row: one hour with executions. Costs are USD.
-- Category: Real time
-- Chart: table
-- Filters: model_tier, pool_type, repo, task_type
SELECT
    hour,
    total(executions) AS executions,
    ratio(sum(successes), sum(executions)) AS success_rate,
    ratio(sum(errors), sum(executions)) AS error_rate,
    ratio(sum(duration_sum), sum(duration_count)) AS avg_duration_seconds,
    ratio(sum(quality_sum), sum(quality_count)) AS avg_quality,
    sum(actual_cost_sum) AS total_cost
FROM hours_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
GROUP BY ALL
ORDER BY hour
