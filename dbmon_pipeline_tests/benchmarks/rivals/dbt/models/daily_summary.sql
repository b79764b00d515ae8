{{ config(unique_key='date') }}
SELECT
    CAST(timestamp AS DATE) AS date,
    repo,
    task_type,
    model_tier,
    pool_type,
    {{ measures() }}
FROM {{ ref('staged_executions') }}
{% if is_incremental() %}
WHERE timestamp >= (SELECT max(date) FROM {{ this }})
{% endif %}
GROUP BY ALL
