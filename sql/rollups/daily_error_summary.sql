-- One row: one day of one error type in one repo, task type, model tier and pool type.
-- The days of error_summary, for questions over long ranges; the example is the first message in
-- the alphabet here too.
SELECT
    CAST(timestamp AS DATE) AS date,
    error_type,
    repo,
    task_type,
    model_tier,
    pool_type,
    count(*) AS occurrences,
    max(timestamp) AS last_seen,
    substring(min(error_message), 1, 500) AS example_message
FROM executions
WHERE
    timestamp >= $window_start
    AND timestamp < $window_end
    AND error_type IS NOT NULL
GROUP BY ALL
