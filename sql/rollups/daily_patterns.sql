-- One row: one day of one solution summary in one repo, by a key of its text.
-- What solution_patterns is counted from, without the texts, which may be unique. The key is 64
-- bits of the md5 of the redacted text; last_seen is NULL where it is first_seen. Kept for 91 days.
-- Key: date, repo, pattern_key
-- From: executions
-- Total: patterns_count = sum(usage_count)
SELECT
    date,
    repo,
    CAST(
        CAST(md5_number_lower(solution_summary) AS HUGEINT) - 9223372036854775808 AS BIGINT
    ) AS pattern_key,
    usage_count,
    success_count,
    quality_count,
    quality_sum,
    first_seen,
    nullif(last_seen, first_seen) AS last_seen
FROM (
    SELECT
        CAST(timestamp AS DATE) AS date,
        repo,
        solution_summary,
        count(*) AS usage_count,
        count(*) FILTER (WHERE success) AS success_count,
        count(quality_score) AS quality_count,
        CAST(sum(quality_score) AS BIGINT) AS quality_sum,
        min(timestamp) AS first_seen,
        max(timestamp) AS last_seen
    FROM executions
    WHERE
        timestamp >= $window_start
        AND timestamp < $window_end
        AND solution_summary IS NOT NULL
    GROUP BY ALL
) AS days
