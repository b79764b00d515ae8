-- One row: how long before the end of the range the last refresh was, and up to when the source had
-- been read then.
-- Category: Monitor
-- Chart: stat
SELECT
    epoch($until - max(evaluated_at)) AS since_refresh_seconds,
    epoch($until - max(window_end)) AS data_age_seconds
FROM check_history
WHERE evaluated_at <= $until
