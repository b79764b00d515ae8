-- One row: one refresh that judged the rules, and how long after the one before.
-- Category: Monitor
-- Chart: time series
WITH refreshes AS (
    SELECT DISTINCT evaluated_at
    FROM check_history
    WHERE evaluated_at >= $since AND evaluated_at <= $until
)

SELECT
    evaluated_at AS time,
    epoch(evaluated_at - lag(evaluated_at) OVER (ORDER BY evaluated_at)) AS since_last_seconds
FROM refreshes
ORDER BY time
