-- One row: one instant that refreshes spoke for, how long after the one before, how the source was
-- read, and what of it.
-- Category: Monitor
-- Chart: time series
SELECT
    as_of AS time,
    epoch(as_of - lag(as_of) OVER (ORDER BY as_of)) AS since_last_seconds,
    read_as,
    readings,
    readings_thrown_away,
    bytes_read,
    rows_read,
    hours_changed,
    late_rows,
    rows_gone,
    unrepairable_hours
FROM refresh_history
WHERE as_of >= $since AND as_of <= $until
ORDER BY time
