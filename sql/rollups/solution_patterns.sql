-- One row: one solution summary that was used at least five times in one repo.
-- What is done again and again, and whether it works. The window is 90 days and today; the texts of
-- the keys are in pattern_texts.
-- Key: solution_summary, repo
-- From: daily_patterns
SELECT
    pattern_texts.text AS solution_summary,
    repo,
    CAST(sum(usage_count) AS BIGINT) AS usage_count,
    CAST(sum(success_count) AS BIGINT) AS success_count,
    CAST(sum(success_count) AS DOUBLE) / sum(usage_count) AS success_rate,
    CAST(sum(quality_sum) AS DOUBLE) / nullif(sum(quality_count), 0) AS avg_quality,
    min(first_seen) AS first_seen,
    max(coalesce(last_seen, first_seen)) AS last_seen
FROM daily_patterns
INNER JOIN pattern_texts USING (repo, pattern_key)
WHERE date >= CAST($window_start AS DATE) AND date <= CAST($window_end AS DATE)
GROUP BY ALL
HAVING sum(usage_count) >= 5
