{{ config(unique_key='hour') }}
SELECT
    date_trunc('hour', timestamp) AS hour,
    repo,
    task_type,
    model_tier,
    pool_type,
    {{ measures() }}
FROM {{ ref('staged_executions') }}
{% if is_incremental() %}
WHERE timestamp >= (SELECT max(hour) FROM {{ this }})
{% endif %}
GROUP BY ALL
