-- One row: one model tier with executions. The rate is of the executions that a user judged.
-- Category: Quality
-- Chart: table
-- Filters: model_tier, pool_type, repo, task_type
SELECT
    model_tier,
    total(executions) AS executions,
    total(feedback_count) AS judged,
    total(accepted_count) AS accepted,
    ratio(sum(accepted_count), sum(feedback_count)) AS acceptance_rate,
    total(rating_count) AS rated,
    ratio(sum(rating_sum), sum(rating_count)) AS avg_rating
FROM executions_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
GROUP BY ALL
ORDER BY model_tier
