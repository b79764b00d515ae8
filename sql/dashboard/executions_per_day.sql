-- One row: one day with executions.
-- Category: Time series
-- Chart: time series
-- Filters: model_tier, pool_type, repo, task_type
SELECT
    CAST(start AS DATE) AS date,
    total(executions) AS executions,
    total(successes) AS successes,
    ratio(sum(successes), sum(executions)) AS success_rate,
    ratio(sum(duration_sum), sum(duration_count)) AS avg_duration_seconds,
    ratio(sum(quality_sum), sum(quality_count)) AS avg_quality
FROM executions_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
GROUP BY ALL
ORDER BY date
