-- One row: one instant that refreshes spoke for, how long after the one before, for how long they
-- held the source, and the rows that they read.
-- Category: Monitor
-- Chart: time series
SELECT
    as_of AS time,
    epoch(as_of - lag(as_of) OVER (ORDER BY as_of)) AS since_last_seconds,
    longest_lock_ms,
    total_lock_ms,
    source_attaches,
    rows_extracted,
    late_rows_repaired,
    rows_gone
FROM published('refresh_history')
WHERE as_of >= $since AND as_of <= $until
ORDER BY time
