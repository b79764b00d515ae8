-- One row: one way in which executions of the last 48 hours are not what the schema promises, and
-- how many are. Such executions are counted in every figure as they are.
-- Category: Data quality
-- Chart: table
-- Range: 48h
-- Filters: model_tier, pool_type, repo, task_type
WITH counted AS (
    SELECT
        count(*) AS executions,
        count(task_id) - count(DISTINCT task_id) AS duplicates,
        count(*) FILTER (WHERE success IS NULL) AS unknown,
        count(*) FILTER (WHERE success AND error_type IS NOT NULL) AS with_error,
        count(*) FILTER (WHERE NOT success AND error_type IS NULL) AS without_error,
        count(*) FILTER (WHERE quality_score < 0 OR quality_score > 100) AS scores,
        count(*) FILTER (WHERE user_rating < 1 OR user_rating > 5) AS ratings,
        count(*) FILTER (WHERE duration_seconds < 0) AS durations,
        count(*) FILTER (WHERE cost_estimate < 0 OR actual_cost < 0) AS costs
    FROM recent_executions
    WHERE
        timestamp >= $since
        AND timestamp < $until
        AND ($repo IS NULL OR repo = $repo)
        AND ($model_tier IS NULL OR model_tier = $model_tier)
        AND ($pool_type IS NULL OR pool_type = $pool_type)
        AND ($task_type IS NULL OR task_type = $task_type)
),

problems (place, problem) AS (
    VALUES
    (1, 'task id used again'),
    (2, 'success unknown'),
    (3, 'success with an error type'),
    (4, 'failure without an error type'),
    (5, 'quality score not in 0 to 100'),
    (6, 'user rating not in 1 to 5'),
    (7, 'negative duration'),
    (8, 'negative cost')
)

SELECT
    problems.problem,
    counted.executions,
    CASE problems.place
        WHEN 1 THEN counted.duplicates
        WHEN 2 THEN counted.unknown
        WHEN 3 THEN counted.with_error
        WHEN 4 THEN counted.without_error
        WHEN 5 THEN counted.scores
        WHEN 6 THEN counted.ratings
        WHEN 7 THEN counted.durations
        ELSE counted.costs
    END AS affected,
    ratio(affected, counted.executions) AS share
FROM counted
CROSS JOIN problems
ORDER BY problems.place
