-- One row: one hour of one pool type and repo.
-- How busy a pool is and how well it works, with a p95 that is exact at this grain.
-- Key: hour, pool_type, repo
-- From: executions
-- Total: executions = sum(total_tasks)
-- Total: successes = sum(successful_tasks)
SELECT
    date_trunc('hour', timestamp) AS hour,
    pool_type,
    repo,
    count(*) AS total_tasks,
    count(*) FILTER (WHERE success) AS successful_tasks,
    CAST(count(*) FILTER (WHERE success) AS DOUBLE) / count(*) AS success_rate,
    avg(duration_seconds) AS avg_duration_seconds,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_seconds) AS p95_duration_seconds,
    avg(actual_cost) AS avg_cost
FROM executions
WHERE timestamp >= $window_start AND timestamp < $window_end
GROUP BY ALL
