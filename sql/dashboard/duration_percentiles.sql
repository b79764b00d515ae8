-- One row: all executions of the range. The percentiles are within 1 % of the exact ones.
-- Category: Performance
-- Chart: stat
-- Filters: model_tier, pool_type
WITH totals AS (
    SELECT
        coalesce(total(duration_count), 0) AS executions,
        ratio(sum(duration_sum), sum(duration_count)) AS avg_seconds,
        min(duration_min) AS min_seconds,
        max(duration_max) AS max_seconds
    FROM executions_between($since, $until, $model_tier, $pool_type)
),

percentiles AS (
    SELECT
        p50,
        p95,
        p99
    FROM percentiles_between($since, $until, 'duration_seconds', NULL, $model_tier, $pool_type)
)

SELECT
    totals.executions,
    totals.avg_seconds,
    totals.min_seconds,
    percentiles.p50 AS p50_seconds,
    percentiles.p95 AS p95_seconds,
    percentiles.p99 AS p99_seconds,
    totals.max_seconds
FROM totals
LEFT JOIN percentiles ON TRUE
