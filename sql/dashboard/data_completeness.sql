-- One row: one figure that an execution may have, and how many of them have it.
-- Category: Data quality
-- Chart: bar chart
-- Filters: model_tier, pool_type, repo, task_type
WITH counted AS (
    SELECT
        coalesce(total(executions), 0) AS executions,
        coalesce(total(duration_count), 0) AS durations,
        coalesce(total(actual_cost_count), 0) AS costs,
        coalesce(total(cost_estimate_count), 0) AS estimates,
        coalesce(total(quality_count), 0) AS scores,
        coalesce(total(complexity_count), 0) AS complexities,
        coalesce(total(memory_count), 0) AS memories,
        coalesce(total(feedback_count), 0) AS judgements
    FROM executions_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
),

figures (place, figure) AS (
    VALUES
    (1, 'duration'),
    (2, 'actual cost'),
    (3, 'cost estimate'),
    (4, 'quality score'),
    (5, 'complexity score'),
    (6, 'peak memory'),
    (7, 'user feedback')
)

SELECT
    figures.figure,
    counted.executions,
    CASE figures.place
        WHEN 1 THEN counted.durations
        WHEN 2 THEN counted.costs
        WHEN 3 THEN counted.estimates
        WHEN 4 THEN counted.scores
        WHEN 5 THEN counted.complexities
        WHEN 6 THEN counted.memories
        ELSE counted.judgements
    END AS with_figure,
    ratio(with_figure, counted.executions) AS share
FROM counted
CROSS JOIN figures
ORDER BY figures.place
