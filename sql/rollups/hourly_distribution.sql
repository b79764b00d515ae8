-- One row: one hour of one model tier and pool type, one metric and one bucket of its values.
-- Percentiles over any range of full hours come from here; they are never averaged.
-- Bucket b > -100000 holds the values in (g^(b-1), g^b] with g = 1.01 / 0.99 and stands for
-- 2 g^b / (g + 1), which is within 1 % of each of them (DDSketch: Masson, Rim and Lee, VLDB 2019);
-- bucket -100000 holds what is not positive and stands for 0. Buckets merge by adding n.
-- Key: hour, model_tier, pool_type, metric, bucket
-- From: executions
-- Sort: metric, hour, model_tier, pool_type, bucket
-- Total: duration_count = sum(n) FILTER (WHERE metric = 'duration_seconds')
-- Total: memory_count = sum(n) FILTER (WHERE metric = 'peak_memory_mb')
SELECT
    date_trunc('hour', timestamp) AS hour,
    model_tier,
    pool_type,
    'duration_seconds' AS metric,
    CASE
        WHEN duration_seconds > 0 THEN CAST(ceil(ln(duration_seconds) / ln(1.01 / 0.99)) AS BIGINT)
        ELSE -100000
    END AS bucket,
    count(*) AS n
FROM executions
WHERE
    timestamp >= $window_start
    AND timestamp < $window_end
    AND duration_seconds IS NOT NULL
GROUP BY ALL
UNION ALL
SELECT
    date_trunc('hour', timestamp) AS hour,
    model_tier,
    pool_type,
    'peak_memory_mb' AS metric,
    CASE
        WHEN peak_memory_mb > 0 THEN CAST(ceil(ln(peak_memory_mb) / ln(1.01 / 0.99)) AS BIGINT)
        ELSE -100000
    END AS bucket,
    count(*) AS n
FROM executions
WHERE
    timestamp >= $window_start
    AND timestamp < $window_end
    AND peak_memory_mb IS NOT NULL
GROUP BY ALL
