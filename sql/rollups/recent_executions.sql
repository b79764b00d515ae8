-- One row: one execution of today or of the two days before, without what no figure needs.
-- Ranges of 1h and 24h are answered from here, exact to the second.
-- Key: timestamp, task_id
-- From: executions
-- Sort: timestamp DESC, task_id
SELECT
    task_id,
    timestamp,
    task_type,
    repo,
    file_count,
    estimated_tokens,
    model_tier,
    pool_type,
    swarm_topology,
    routing_confidence,
    complexity_score,
    success,
    duration_seconds,
    quality_score,
    cost_estimate,
    actual_cost,
    error_type,
    error_message,
    user_accepted,
    user_rating,
    peak_memory_mb,
    cpu_time_seconds,
    solution_summary
FROM executions
WHERE timestamp >= $window_start AND timestamp < $window_end
