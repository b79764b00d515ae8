-- One row: one day of one error type in one repo, task type, model tier and pool type.
-- The days of error_summary, for questions over long ranges; the example is the first message in
-- the alphabet here too.
-- Key: date, error_type, repo, task_type, model_tier, pool_type
-- From: error_summary
-- Total: errors = sum(occurrences)
SELECT
    CAST(hour AS DATE) AS date,
    error_type,
    repo,
    task_type,
    model_tier,
    pool_type,
    CAST(sum(occurrences) AS BIGINT) AS occurrences,
    max(last_seen) AS last_seen,
    min(example_message) AS example_message
FROM error_summary
WHERE hour >= $window_start AND hour < $window_end
GROUP BY ALL
