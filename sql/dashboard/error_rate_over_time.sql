-- One row: one day with executions, or one hour if the range is 48 hours or less. An error is an
-- execution that names an error type.
-- Category: Errors
-- Chart: time series
-- Filters: model_tier, pool_type, repo, task_type
SELECT
    chart_time(start, $since, $until) AS time,
    total(executions) AS executions,
    total(errors) AS errors,
    ratio(sum(errors), sum(executions)) AS error_rate
FROM executions_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
GROUP BY ALL
ORDER BY time
