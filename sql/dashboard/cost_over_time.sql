-- One row: one day with executions, or one hour if the range is 48 hours or less. Costs are USD;
-- executions of unknown cost are in no sum.
-- Category: Cost
-- Chart: time series
-- Filters: model_tier, pool_type, repo, task_type
SELECT
    chart_time(start, $since, $until) AS time,
    total(executions) AS executions,
    total(actual_cost_count) AS with_cost,
    sum(actual_cost_sum) AS total_cost,
    ratio(sum(actual_cost_sum), sum(actual_cost_count)) AS avg_cost,
    sum(cost_estimate_sum) AS total_estimate
FROM executions_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
GROUP BY ALL
ORDER BY time
