-- One row: how many executions of the window are not what the schema promises, by kind.
-- Such rows are counted and kept; NaN and infinite values are NULL by now and counted elsewhere.
SELECT
    count(*) AS executions,
    count(*) FILTER (WHERE quality_score < 0 OR quality_score > 100) AS quality_out_of_range,
    count(*) FILTER (WHERE user_rating < 1 OR user_rating > 5) AS rating_out_of_range,
    count(*) FILTER (WHERE duration_seconds < 0) AS negative_durations,
    count(*) FILTER (WHERE cost_estimate < 0 OR actual_cost < 0) AS negative_costs,
    count(*) FILTER (WHERE success AND error_type IS NOT NULL) AS successes_with_error_type,
    count(*) FILTER (WHERE NOT success AND error_type IS NULL) AS failures_without_error_type,
    count(*) FILTER (WHERE success IS NULL) AS unknown_success
FROM executions
WHERE timestamp >= $window_start AND timestamp < $window_end
