-- One row: one band of quality scores: excellent from 90, good from 75, fair from 60, poor below.
-- The share is of the executions that have a score.
-- Category: Quality
-- Chart: pie chart
-- Filters: model_tier, pool_type, repo, task_type
WITH scored AS (
    SELECT
        coalesce(total(excellent_count), 0) AS excellent,
        coalesce(total(good_count), 0) AS good,
        coalesce(total(fair_count), 0) AS fair,
        coalesce(total(poor_count), 0) AS poor,
        coalesce(total(quality_count), 0) AS all_scored
    FROM executions_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
),

bands (band, lowest_score) AS (
    VALUES ('excellent', 90), ('good', 75), ('fair', 60), ('poor', 0)
)

SELECT
    bands.band,
    bands.lowest_score,
    CASE bands.band
        WHEN 'excellent' THEN scored.excellent
        WHEN 'good' THEN scored.good
        WHEN 'fair' THEN scored.fair
        ELSE scored.poor
    END AS executions,
    ratio(executions, scored.all_scored) AS share
FROM scored
CROSS JOIN bands
ORDER BY bands.lowest_score DESC
