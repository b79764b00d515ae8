-- One row: one hour with executions.
-- Category: Time series
-- Chart: time series
-- Filters: model_tier, pool_type, repo, task_type
SELECT
    hour,
    total(executions) AS executions,
    total(successes) AS successes,
    ratio(sum(successes), sum(executions)) AS success_rate
FROM hours_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
GROUP BY ALL
ORDER BY hour
