-- One row: one error type of the window, which is no longer than 48 hours, or NULL for failures
-- without one; how often it occurred, and the task ids of its three newest executions.
WITH failed AS (
    SELECT
        error_type,
        task_id,
        timestamp,
        row_number() OVER (PARTITION BY error_type ORDER BY timestamp DESC, task_id ASC) AS newest
    FROM recent_executions
    WHERE
        timestamp >= $window_start
        AND timestamp < $window_end
        AND (NOT success OR error_type IS NOT NULL)
        AND ($model_tier IS NULL OR model_tier = $model_tier)
        AND ($pool_type IS NULL OR pool_type = $pool_type)
        AND ($repo IS NULL OR repo = $repo)
        AND ($task_type IS NULL OR task_type = $task_type)
)

SELECT
    error_type,
    count(*) AS occurrences,
    max(timestamp) AS last_seen,
    string_agg(task_id, ', ' ORDER BY newest) FILTER (WHERE newest <= 3) AS newest_task_ids
FROM failed
GROUP BY ALL
ORDER BY occurrences DESC, error_type ASC
LIMIT 10
