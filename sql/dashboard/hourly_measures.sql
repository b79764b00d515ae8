-- One row: one hour with executions, in counts and sums that add up to days of any time zone and
-- to means. A sum of nothing is NULL, and the count of known values stands beside every sum.
-- Category: Time series
-- Chart: time series
-- Filters: model_tier, pool_type, repo, task_type
SELECT
    hour,
    total(executions) AS executions,
    total(successes) AS successes,
    total(errors) AS errors,
    total(duration_count) AS duration_count,
    sum(duration_sum) AS duration_sum,
    total(quality_count) AS quality_count,
    total(quality_sum) AS quality_sum,
    total(actual_cost_count) AS actual_cost_count,
    sum(actual_cost_sum) AS actual_cost_sum
FROM hours_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
GROUP BY ALL
ORDER BY hour
