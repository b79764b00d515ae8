-- One row: one hour of the source.
-- What the source said of it last (source_executions, and fingerprint: the sum of its rows' hashes)
-- beside what is counted here, so that a refresh finds what changed and the tables reconcile. The
-- last columns count rows that are not what the schema contract promises.
-- Key: hour
-- From: executions
SELECT
    date_trunc('hour', timestamp) AS hour,
    'whole' AS state,
    count(*) FILTER (WHERE is_in_source) AS source_executions,
    CAST(sum(row_hash) FILTER (WHERE is_in_source) AS VARCHAR) AS fingerprint,
    count(*) AS executions,
    count(*) FILTER (WHERE success) AS successes,
    count(error_type) AS errors,
    count(duration_seconds) AS duration_count,
    sum(duration_seconds) AS duration_sum,
    sum(abs(duration_seconds)) AS duration_abs_sum,
    sum(actual_cost) AS actual_cost_sum,
    sum(abs(actual_cost)) AS actual_cost_abs_sum,
    count(peak_memory_mb) AS memory_count,
    count(complexity_score) AS complexity_count,
    count(solution_summary) AS patterns_count,
    count(*) FILTER (WHERE quality_score < 0 OR quality_score > 100) AS quality_out_of_range,
    count(*) FILTER (WHERE user_rating < 1 OR user_rating > 5) AS rating_out_of_range,
    count(*) FILTER (WHERE duration_seconds < 0) AS negative_durations,
    count(*) FILTER (WHERE cost_estimate < 0 OR actual_cost < 0) AS negative_costs,
    count(*) FILTER (WHERE success AND error_type IS NOT NULL) AS successes_with_error_type,
    count(*) FILTER (WHERE NOT success AND error_type IS NULL) AS failures_without_error_type,
    count(*) FILTER (WHERE success IS NULL) AS unknown_success,
    count(*) FILTER (WHERE task_id IS NULL) AS missing_task_ids,
    CAST(0 AS BIGINT) AS duplicate_task_ids,
    CAST(sum(not_finite) AS BIGINT) AS not_finite_values,
    CAST(sum(unreadable) AS BIGINT) AS unreadable_values
FROM executions
WHERE timestamp >= $window_start AND timestamp < $window_end
GROUP BY ALL
