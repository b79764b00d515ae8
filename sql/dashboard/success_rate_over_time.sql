-- One row: one day with executions, or one hour if the range is 48 hours or less.
-- Category: Time series
-- Chart: time series
-- Filters: model_tier, pool_type, repo, task_type
SELECT
    chart_time(start, $since, $until) AS time,
    total(executions) AS executions,
    total(successes) AS successes,
    ratio(sum(successes), sum(executions)) AS success_rate
FROM executions_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
GROUP BY ALL
ORDER BY time
