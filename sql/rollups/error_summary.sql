-- One row: one hour of one error type in one repo, task type, model tier and pool type.
-- What fails, where, and one message of it as an example: the first in the alphabet, so that it
-- does not depend on the order in which rows arrived; cut to 500 characters.
-- Key: hour, error_type, repo, task_type, model_tier, pool_type
-- From: executions
-- Total: errors = sum(occurrences)
SELECT
    date_trunc('hour', timestamp) AS hour,
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
