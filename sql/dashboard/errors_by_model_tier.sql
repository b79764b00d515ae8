-- One row: one model tier and one error type that occurred there; the rate is of all executions of
-- the tier.
-- Category: Errors
-- Chart: bar chart
-- Filters: model_tier, pool_type, repo, task_type
WITH tiers AS (
    SELECT
        model_tier,
        total(executions) AS executions
    FROM executions_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
    GROUP BY ALL
),

errors AS (
    SELECT
        model_tier,
        error_type,
        total(occurrences) AS occurrences
    FROM errors_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
    GROUP BY ALL
)

SELECT
    errors.model_tier,
    errors.error_type,
    errors.occurrences,
    tiers.executions,
    ratio(errors.occurrences, tiers.executions) AS error_rate
FROM errors
INNER JOIN tiers ON errors.model_tier = tiers.model_tier
ORDER BY errors.model_tier ASC, errors.occurrences DESC, errors.error_type ASC
