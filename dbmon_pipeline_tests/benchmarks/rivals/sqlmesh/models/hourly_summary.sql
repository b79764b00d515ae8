MODEL (
    name main.hourly_summary,
    kind INCREMENTAL_BY_TIME_RANGE (time_column hour),
    cron '@hourly'
);

JINJA_QUERY_BEGIN;
SELECT
    date_trunc('hour', timestamp) AS hour,
    repo,
    task_type,
    model_tier,
    pool_type,
    {{ measures() }}
FROM main.staged_executions
WHERE timestamp BETWEEN '{{ start_ts }}' AND '{{ end_ts }}'
GROUP BY ALL
JINJA_END;
