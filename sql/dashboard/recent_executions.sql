-- One row: one of the newest hundred executions. Error messages are text from the data.
-- Category: Real time
-- Chart: table
-- Range: 48h
-- Filters: model_tier, pool_type, repo, task_type
WITH newest AS (
    SELECT timestamp
    FROM recent_executions
    WHERE
        timestamp >= $since
        AND timestamp < $until
        AND ($repo IS NULL OR repo = $repo)
        AND ($model_tier IS NULL OR model_tier = $model_tier)
        AND ($pool_type IS NULL OR pool_type = $pool_type)
        AND ($task_type IS NULL OR task_type = $task_type)
    ORDER BY timestamp DESC
    LIMIT 100
)

SELECT
    timestamp,
    task_id,
    repo,
    task_type,
    model_tier,
    pool_type,
    success,
    duration_seconds,
    quality_score,
    actual_cost,
    error_type,
    error_message
FROM recent_executions
WHERE
    timestamp >= (SELECT min(newest.timestamp) FROM newest)
    AND timestamp < $until
    AND ($repo IS NULL OR repo = $repo)
    AND ($model_tier IS NULL OR model_tier = $model_tier)
    AND ($pool_type IS NULL OR pool_type = $pool_type)
    AND ($task_type IS NULL OR task_type = $task_type)
ORDER BY timestamp DESC, task_id ASC
LIMIT 100
