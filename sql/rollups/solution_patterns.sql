-- One row: one solution summary that was used at least five times in one repo.
-- What is done again and again, and whether it works. The window is 90 days and today; the texts of
-- the keys are in pattern_texts.
-- Key: solution_summary, repo
-- From: daily_patterns
WITH counted AS (
    SELECT
        repo,
        pattern_key,
        CAST(sum(usage_count) AS BIGINT) AS usage_count,
        CAST(sum(success_count) AS BIGINT) AS success_count,
        CAST(sum(quality_sum) AS DOUBLE) / nullif(sum(quality_count), 0) AS avg_quality,
        min(first_seen) AS first_seen,
        max(coalesce(last_seen, first_seen)) AS last_seen
    FROM daily_patterns
    WHERE date >= CAST($window_start AS DATE) AND date <= CAST($window_end AS DATE)
    GROUP BY ALL
    HAVING sum(usage_count) >= 5
)

SELECT
    texts.text AS solution_summary,
    counted.repo,
    counted.usage_count,
    counted.success_count,
    CAST(counted.success_count AS DOUBLE) / counted.usage_count AS success_rate,
    counted.avg_quality,
    counted.first_seen,
    counted.last_seen
FROM counted
INNER JOIN pattern_texts AS texts
    ON counted.repo = texts.repo AND counted.pattern_key = texts.pattern_key
