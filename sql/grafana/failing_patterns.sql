-- One row: one of the twenty solutions that failed most often, over the 90 days before the last
-- refresh. A summary is text from the data.
-- Category: Patterns
-- Chart: table
-- Filters: repo
SELECT
    solution_summary,
    repo,
    usage_count,
    usage_count - success_count AS failures,
    success_rate,
    avg_quality,
    last_seen
FROM solution_patterns
WHERE usage_count > success_count AND ($repo IS NULL OR repo = $repo)
ORDER BY failures DESC, solution_summary ASC, repo ASC
LIMIT 20
