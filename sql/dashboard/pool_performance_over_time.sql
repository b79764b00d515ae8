-- One row: one pool type on one day with executions, or in one hour if the range is 48 hours or
-- less.
-- Category: Pools
-- Chart: time series
-- Filters: model_tier, pool_type, repo, task_type
SELECT
    chart_time(start, $since, $until) AS time,
    pool_type,
    total(executions) AS executions,
    total(successes) AS successes,
    ratio(sum(successes), sum(executions)) AS success_rate,
    ratio(sum(duration_sum), sum(duration_count)) AS avg_duration_seconds,
    ratio(sum(actual_cost_sum), sum(actual_cost_count)) AS avg_cost
FROM executions_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
GROUP BY ALL
ORDER BY time, pool_type
