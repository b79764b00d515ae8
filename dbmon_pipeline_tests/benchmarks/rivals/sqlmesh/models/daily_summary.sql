MODEL (
    name main.daily_summary,
    kind INCREMENTAL_BY_TIME_RANGE (time_column date),
    cron '@hourly'
);

JINJA_QUERY_BEGIN;
SELECT
    CAST(timestamp AS DATE) AS date,
    repo,
    task_type,
    model_tier,
    pool_type,
    {{ measures() }}
FROM main.staged_executions
WHERE timestamp BETWEEN '{{ start_ds }}' AND '{{ end_ts }}'
GROUP BY ALL
JINJA_END;
