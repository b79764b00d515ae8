MODEL (name main.staged_executions, kind VIEW);

SELECT
    timestamp,
    task_type,
    repo,
    file_count,
    estimated_tokens,
    model_tier,
    pool_type,
    CAST(routing_confidence AS DOUBLE) AS routing_confidence,
    complexity_score,
    success,
    CAST(duration_seconds AS DOUBLE) AS duration_seconds,
    quality_score,
    CAST(cost_estimate AS DOUBLE) AS cost_estimate,
    CAST(actual_cost AS DOUBLE) AS actual_cost,
    error_type,
    error_message,
    user_accepted,
    user_rating,
    CAST(peak_memory_mb AS DOUBLE) AS peak_memory_mb,
    CAST(cpu_time_seconds AS DOUBLE) AS cpu_time_seconds
FROM source.main.executions
