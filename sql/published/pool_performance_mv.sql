-- One row: one hour of one pool type and repo, over the last 7 days that have any.
-- The view of the founding schema, over what is published.
SELECT
    pool_type,
    repo,
    hour,
    total_tasks,
    successful_tasks,
    avg_duration_seconds AS avg_duration,
    avg_cost,
    success_rate
FROM pool_performance
WHERE hour >= (SELECT max(newest.hour) - INTERVAL 7 DAY FROM pool_performance AS newest)
