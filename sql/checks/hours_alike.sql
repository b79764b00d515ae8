-- One row: one hour like the last one before an instant, with what is compared of it: see the
-- macro.
SELECT
    hour,
    executions,
    successes,
    duration_count,
    duration_sum,
    cost_count,
    cost_sum
FROM hours_alike($window_start, $window_end, $instant)
ORDER BY hour
