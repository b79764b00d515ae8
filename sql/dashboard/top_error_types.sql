-- One row: one of the ten error types that occurred most; the share is of all errors. An example
-- message is text from the data.
-- Category: Errors
-- Chart: table
-- Filters: model_tier, pool_type, repo, task_type
WITH by_repo AS (
    SELECT
        error_type,
        repo,
        sum(occurrences) AS occurrences,
        max(last_seen) AS last_seen,
        min(example_message) AS example_message
    FROM errors_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
    GROUP BY ALL
)

SELECT
    error_type,
    total(occurrences) AS occurrences,
    ratio(sum(occurrences), sum(sum(occurrences)) OVER ()) AS share,
    count(*) AS repos,
    max(last_seen) AS last_seen,
    min(example_message) AS example_message
FROM by_repo
GROUP BY ALL
ORDER BY occurrences DESC, error_type ASC
LIMIT 10
