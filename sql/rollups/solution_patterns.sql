-- One row: one solution summary that was used at least five times in one repo.
-- What is done again and again, and whether it works. The window is 90 days and today.
SELECT
    solution_summary,
    repo,
    count(*) AS usage_count,
    count(*) FILTER (WHERE success) AS success_count,
    CAST(count(*) FILTER (WHERE success) AS DOUBLE) / count(*) AS success_rate,
    avg(quality_score) AS avg_quality,
    min(timestamp) AS first_seen,
    max(timestamp) AS last_seen
FROM executions
WHERE
    timestamp >= $window_start
    AND timestamp < $window_end
    AND solution_summary IS NOT NULL
GROUP BY ALL
HAVING count(*) >= 5
