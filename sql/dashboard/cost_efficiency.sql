-- One row: one model tier with executions. Actual cost against its estimate, in USD, over the
-- executions that have both; a positive saving is money that was estimated and not spent.
-- Category: Cost
-- Chart: table
-- Filters: model_tier, pool_type, repo, task_type
SELECT
    model_tier,
    total(executions) AS executions,
    total(both_costs_count) AS with_both_costs,
    sum(both_costs_estimate_sum) AS total_estimate,
    sum(both_costs_actual_sum) AS total_cost,
    ratio(sum(both_costs_actual_sum), sum(both_costs_estimate_sum)) AS cost_per_estimated_dollar,
    ratio(
        sum(both_costs_estimate_sum) - sum(both_costs_actual_sum), sum(both_costs_count)
    ) AS avg_savings
FROM executions_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
GROUP BY ALL
ORDER BY model_tier
