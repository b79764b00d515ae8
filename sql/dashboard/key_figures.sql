-- One row: all executions of the range, at a glance. Costs are USD; avg_savings is the mean of
-- estimate minus actual cost where both are known.
-- Category: Overview
-- Chart: stat
-- Filters: model_tier, pool_type, repo, task_type
SELECT
    coalesce(total(executions), 0) AS executions,
    coalesce(total(successes), 0) AS successes,
    ratio(sum(successes), sum(executions)) AS success_rate,
    coalesce(total(errors), 0) AS errors,
    ratio(sum(errors), sum(executions)) AS error_rate,
    ratio(sum(duration_sum), sum(duration_count)) AS avg_duration_seconds,
    ratio(sum(quality_sum), sum(quality_count)) AS avg_quality,
    sum(actual_cost_sum) AS total_cost,
    ratio(sum(actual_cost_sum), sum(actual_cost_count)) AS avg_cost,
    ratio(
        sum(both_costs_estimate_sum) - sum(both_costs_actual_sum), sum(both_costs_count)
    ) AS avg_savings,
    ratio(sum(memory_sum), sum(memory_count)) AS avg_memory_mb
FROM executions_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
