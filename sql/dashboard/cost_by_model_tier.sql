-- One row: one model tier with executions. Costs are USD; the share is of all known costs.
-- Category: Cost
-- Chart: bar chart
-- Filters: model_tier, pool_type, repo, task_type
SELECT
    model_tier,
    total(executions) AS executions,
    total(actual_cost_count) AS with_cost,
    sum(actual_cost_sum) AS total_cost,
    ratio(sum(actual_cost_sum), sum(sum(actual_cost_sum)) OVER ()) AS share_of_cost,
    ratio(sum(actual_cost_sum), sum(actual_cost_count)) AS avg_cost,
    ratio(sum(actual_cost_sum), sum(successes)) AS cost_per_success
FROM executions_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
GROUP BY ALL
ORDER BY model_tier
