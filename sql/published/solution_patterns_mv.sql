-- One row: one solution summary that was used at least five times in one repo, over 90 days.
-- The view of the founding schema, over what is published.
SELECT
    solution_summary,
    repo,
    usage_count,
    success_count,
    avg_quality,
    first_seen,
    last_seen,
    success_rate
FROM solution_patterns
