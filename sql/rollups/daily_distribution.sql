-- One row: one day of one model tier and pool type, one metric and one bucket of its values.
-- The buckets of hourly_distribution added up, for ranges that span whole days.
-- Key: date, model_tier, pool_type, metric, bucket
-- From: hourly_distribution
-- Sort: metric, date, model_tier, pool_type, bucket
-- Total: duration_count = sum(n) FILTER (WHERE metric = 'duration_seconds')
-- Total: memory_count = sum(n) FILTER (WHERE metric = 'peak_memory_mb')
SELECT
    CAST(hour AS DATE) AS date,
    model_tier,
    pool_type,
    metric,
    bucket,
    CAST(sum(n) AS BIGINT) AS n
FROM hourly_distribution
WHERE hour >= $window_start AND hour < $window_end
GROUP BY ALL
