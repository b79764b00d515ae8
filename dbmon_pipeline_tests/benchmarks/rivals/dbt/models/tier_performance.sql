{{ config(unique_key='date') }}
SELECT
    CAST(timestamp AS DATE) AS date,
    repo,
    model_tier,
    task_type,
    count(*) AS total_executions,
    count(*) FILTER (WHERE success) AS successful_count,
    count(*) FILTER (WHERE success) / count(*) AS success_rate,
    avg(duration_seconds) AS avg_duration_seconds,
    quantile_cont(duration_seconds, 0.5) AS p50_duration_seconds,
    quantile_cont(duration_seconds, 0.95) AS p95_duration_seconds,
    quantile_cont(duration_seconds, 0.99) AS p99_duration_seconds,
    avg(actual_cost) AS avg_cost,
    sum(actual_cost) AS total_cost,
    avg(quality_score) AS avg_quality
FROM {{ ref('staged_executions') }}
{% if is_incremental() %}
WHERE timestamp >= (SELECT max(date) FROM {{ this }})
{% endif %}
GROUP BY ALL
