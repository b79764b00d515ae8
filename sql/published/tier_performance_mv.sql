-- One row: one day of one repo, model tier and task type, over the last 30 days that have any.
-- The view of the founding schema, over what is published.
SELECT
    repo,
    model_tier,
    task_type,
    date,
    total_executions,
    successful_count,
    avg_duration_seconds AS avg_duration,
    avg_cost,
    avg_quality,
    p95_duration_seconds AS p95_duration
FROM tier_performance
WHERE date >= (SELECT max(newest.date) - INTERVAL 30 DAY FROM tier_performance AS newest)
