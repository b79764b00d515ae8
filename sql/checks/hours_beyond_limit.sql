-- One row: one hour of the window of which most was judged when a rule on executions was beyond a
-- limit.
SELECT DISTINCT date_trunc('hour', evaluated_at - INTERVAL 30 MINUTE) AS hour
FROM check_history
WHERE
    evaluated_at >= $window_start
    AND evaluated_at < $window_end
    AND verdict IN ('warning', 'critical')
    AND window_start IS NOT NULL
