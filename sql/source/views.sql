-- The three views of the founding schema. A view takes no parameter and no SQL here asks the
-- clock, so "the last N days" end with the newest row.

-- One row: one day of one repo, model tier and task type, over the last 30 days.
CREATE VIEW tier_performance_mv AS
SELECT
    repo,
    model_tier,
    task_type,
    CAST(timestamp AS DATE) AS date,
    count(*) AS total_executions,
    count(*) FILTER (WHERE success) AS successful_count,
    avg(duration_seconds) AS avg_duration,
    avg(actual_cost) AS avg_cost,
    avg(quality_score) AS avg_quality,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_seconds) AS p95_duration
FROM executions
WHERE timestamp >= (SELECT max(newest.timestamp) - INTERVAL 30 DAY FROM executions AS newest)
GROUP BY ALL;

-- One row: one hour of one pool type and repo, over the last 7 days.
CREATE VIEW pool_performance_mv AS
SELECT
    pool_type,
    repo,
    date_trunc('hour', timestamp) AS hour,
    count(*) AS total_tasks,
    count(*) FILTER (WHERE success) AS successful_tasks,
    avg(duration_seconds) AS avg_duration,
    avg(actual_cost) AS avg_cost,
    count(*) FILTER (WHERE success) / count(*) AS success_rate
FROM executions
WHERE timestamp >= (SELECT max(newest.timestamp) - INTERVAL 7 DAY FROM executions AS newest)
GROUP BY ALL;

-- One row: one solution summary that was used at least five times in one repo, over 90 days.
CREATE VIEW solution_patterns_mv AS
SELECT
    solution_summary,
    repo,
    count(*) AS usage_count,
    count(*) FILTER (WHERE success) AS success_count,
    avg(quality_score) AS avg_quality,
    min(timestamp) AS first_seen,
    max(timestamp) AS last_seen,
    count(*) FILTER (WHERE success) / count(*) AS success_rate
FROM executions
WHERE
    timestamp >= (SELECT max(newest.timestamp) - INTERVAL 90 DAY FROM executions AS newest)
    AND solution_summary IS NOT NULL
GROUP BY ALL
HAVING count(*) >= 5;
