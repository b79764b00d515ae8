-- One row: one task type on one model tier; the share is of the task type's executions.
-- Category: Task types
-- Chart: bar chart
-- Filters: model_tier, pool_type, repo, task_type
WITH cells AS (
    SELECT
        task_type,
        model_tier,
        total(executions) AS executions,
        ratio(sum(successes), sum(executions)) AS success_rate,
        ratio(sum(duration_sum), sum(duration_count)) AS avg_duration_seconds,
        ratio(sum(actual_cost_sum), sum(actual_cost_count)) AS avg_cost
    FROM executions_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
    GROUP BY ALL
)

SELECT
    task_type,
    model_tier,
    executions,
    ratio(executions, sum(executions) OVER (PARTITION BY task_type)) AS share,
    success_rate,
    avg_duration_seconds,
    avg_cost
FROM cells
ORDER BY task_type, model_tier
