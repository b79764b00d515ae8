{{ config(unique_key='hour') }}
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
FROM {{ ref('staged_executions') }}
WHERE error_type IS NOT NULL
{% if is_incremental() %}
AND timestamp >= (SELECT max(hour) FROM {{ this }})
{% endif %}
GROUP BY ALL
