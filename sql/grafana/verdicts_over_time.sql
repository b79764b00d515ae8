-- One row: the worst that one rule said of any scope in one minute, or in one hour if the range is
-- longer than 48 hours: 2 is critical, 1 a warning, 0 fine, -1 too little data.
-- Category: Monitor
-- Chart: state timeline
SELECT
    CASE
        WHEN $until - $since <= INTERVAL 48 HOUR THEN date_trunc('minute', evaluated_at)
        ELSE date_trunc('hour', evaluated_at)
    END AS time,
    rule,
    CAST(
        max(
            CASE verdict
                WHEN 'critical' THEN 2
                WHEN 'warning' THEN 1
                WHEN 'ok' THEN 0
                ELSE -1
            END
        ) AS BIGINT
    ) AS badness
FROM check_history
WHERE evaluated_at >= $since AND evaluated_at <= $until
GROUP BY ALL
ORDER BY time, rule
