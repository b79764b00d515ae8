-- One row: how many executions an hour like the last one of the window usually has: mean and
-- variance over the same hour of the week, the one before and the one after, of eight weeks; and
-- from how many hours. Those before the first execution do not count.
WITH seen AS (
    SELECT
        hour,
        total(executions) AS executions
    FROM hour_cells($window_start, $window_end)
    GROUP BY ALL
),

weeks (ago) AS (VALUES (1), (2), (3), (4), (5), (6), (7), (8)),

shifts (shift) AS (VALUES (-1), (0), (1)),

ending AS (
    SELECT date_trunc('hour', $window_end - INTERVAL 30 MINUTE) AS last_hour
),

alike AS (
    SELECT
        ending.last_hour - weeks.ago * INTERVAL 7 DAY + shifts.shift * INTERVAL 1 HOUR AS hour
    FROM ending
    CROSS JOIN weeks
    CROSS JOIN shifts
),

known AS (
    SELECT min(hour) AS first_hour
    FROM seen
)

SELECT
    avg(coalesce(seen.executions, 0)) AS mean,
    coalesce(var_samp(coalesce(seen.executions, 0)), 0) AS variance,
    count(*) AS hours
FROM alike
CROSS JOIN known
LEFT JOIN seen ON alike.hour = seen.hour
WHERE alike.hour >= known.first_hour
