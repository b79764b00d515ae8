MODEL (
    name main.error_summary,
    kind INCREMENTAL_BY_TIME_RANGE (time_column hour),
    cron '@hourly'
);

SELECT
    date_trunc('hour', timestamp) AS hour,
    error_type,
    repo,
    task_type,
    model_tier,
    pool_type,
    count(*) AS occurrences,
    max(timestamp) AS last_seen,
    substring(min(error_message), 1, 500) AS example_message
FROM main.staged_executions
WHERE timestamp BETWEEN @start_ts AND @end_ts
    AND error_type IS NOT NULL
GROUP BY ALL
