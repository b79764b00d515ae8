-- One row: one repository with executions, the busiest first.
-- Category: Repositories
-- Chart: table
-- Filters: model_tier, pool_type, repo, task_type
SELECT
    repo,
    total(executions) AS executions,
    count(DISTINCT CAST(start AS DATE)) AS active_days,
    CAST(min(start) AS DATE) AS first_day,
    CAST(max(start) AS DATE) AS last_day,
    count(DISTINCT task_type) AS task_types,
    ratio(sum(successes), sum(executions)) AS success_rate,
    sum(actual_cost_sum) AS total_cost,
    ratio(sum(files_sum), sum(files_count)) AS avg_files,
    ratio(sum(complexity_sum), sum(complexity_count)) AS avg_complexity
FROM executions_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
GROUP BY ALL
ORDER BY executions DESC, repo ASC
