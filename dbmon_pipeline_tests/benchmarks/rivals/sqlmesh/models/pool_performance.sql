MODEL (
    name main.pool_performance,
    kind INCREMENTAL_BY_TIME_RANGE (time_column hour),
    cron '@hourly'
);

SELECT
    date_trunc('hour', timestamp) AS hour,
    pool_type,
    repo,
    count(*) AS total_tasks,
    count(*) FILTER (WHERE success) AS successful_tasks,
    count(*) FILTER (WHERE success) / count(*) AS success_rate,
    avg(duration_seconds) AS avg_duration_seconds,
    quantile_cont(duration_seconds, 0.95) AS p95_duration_seconds,
    avg(actual_cost) AS avg_cost
FROM main.staged_executions
WHERE timestamp BETWEEN @start_ts AND @end_ts
GROUP BY ALL
