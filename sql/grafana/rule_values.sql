-- One row: the last value that one rule judged of one scope in one minute, or in one hour if the
-- range is longer than 48 hours.
-- Category: Monitor
-- Chart: time series
SELECT
    CASE
        WHEN $until - $since <= INTERVAL 48 HOUR THEN date_trunc('minute', evaluated_at)
        ELSE date_trunc('hour', evaluated_at)
    END AS time,
    scope,
    max_by(value, evaluated_at) AS value
FROM check_history
WHERE rule = $rule AND evaluated_at >= $since AND evaluated_at <= $until
GROUP BY ALL
ORDER BY time, scope
