-- One row: one pool type with executions. The percentiles are within 1 % of the exact ones.
-- Category: Performance
-- Chart: bar chart
-- Filters: model_tier, pool_type
WITH totals AS (
    SELECT
        pool_type,
        total(duration_count) AS executions,
        ratio(sum(duration_sum), sum(duration_count)) AS avg_seconds
    FROM executions_between($since, $until, $model_tier, $pool_type)
    GROUP BY ALL
),

percentiles AS (
    SELECT
        name,
        p50,
        p95,
        p99
    FROM percentiles_between(
        $since, $until, 'duration_seconds', 'pool_type', $model_tier, $pool_type
    )
)

SELECT
    totals.pool_type,
    totals.executions,
    totals.avg_seconds,
    percentiles.p50 AS p50_seconds,
    percentiles.p95 AS p95_seconds,
    percentiles.p99 AS p99_seconds
FROM totals
LEFT JOIN percentiles ON totals.pool_type = percentiles.name
ORDER BY totals.pool_type
