{{ config(unique_key='hour') }}
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
FROM {{ ref('staged_executions') }}
{% if is_incremental() %}
WHERE timestamp >= (SELECT max(hour) FROM {{ this }})
{% endif %}
GROUP BY ALL
