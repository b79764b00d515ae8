-- One row: one model tier with executions. The shares are of the executions that have a score.
-- Category: Quality
-- Chart: bar chart
-- Filters: model_tier, pool_type, repo, task_type
SELECT
    model_tier,
    total(executions) AS executions,
    total(quality_count) AS with_score,
    ratio(sum(quality_sum), sum(quality_count)) AS avg_quality,
    ratio(sum(excellent_count), sum(quality_count)) AS excellent_share,
    ratio(sum(poor_count), sum(quality_count)) AS poor_share
FROM executions_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
GROUP BY ALL
ORDER BY model_tier
