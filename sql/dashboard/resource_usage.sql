-- One row: one pool type with executions. The percentile is within 1 % of the exact one.
-- Category: Performance
-- Chart: table
-- Filters: model_tier, pool_type
WITH totals AS (
    SELECT
        pool_type,
        total(memory_count) AS executions,
        ratio(sum(memory_sum), sum(memory_count)) AS avg_memory_mb,
        ratio(sum(cpu_sum), sum(cpu_count)) AS avg_cpu_seconds
    FROM executions_between($since, $until, $model_tier, $pool_type)
    GROUP BY ALL
),

percentiles AS (
    SELECT
        name,
        p95
    FROM percentiles_between($since, $until, 'peak_memory_mb', 'pool_type', $model_tier, $pool_type)
)

SELECT
    totals.pool_type,
    totals.executions,
    totals.avg_memory_mb,
    percentiles.p95 AS p95_memory_mb,
    totals.avg_cpu_seconds
FROM totals
LEFT JOIN percentiles ON totals.pool_type = percentiles.name
ORDER BY totals.pool_type
