-- One row: one repository with executions, the busiest first.
-- Category: Repositories
-- Chart: table
-- Filters: model_tier, pool_type, repo, task_type
WITH days AS (
    SELECT
        repo,
        CAST(start AS DATE) AS day,
        task_type,
        sum(executions) AS executions,
        sum(successes) AS successes,
        sum(actual_cost_sum) AS cost,
        sum(files_count) AS files_count,
        sum(files_sum) AS files_sum,
        sum(complexity_count) AS complexity_count,
        sum(complexity_sum) AS complexity_sum
    FROM executions_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
    GROUP BY ALL
)

SELECT
    repo,
    total(executions) AS executions,
    count(DISTINCT day) AS active_days,
    min(day) AS first_day,
    max(day) AS last_day,
    count(DISTINCT task_type) AS task_types,
    ratio(sum(successes), sum(executions)) AS success_rate,
    sum(cost) AS total_cost,
    ratio(sum(files_sum), sum(files_count)) AS avg_files,
    ratio(sum(complexity_sum), sum(complexity_count)) AS avg_complexity
FROM days
GROUP BY ALL
ORDER BY executions DESC, repo ASC
