-- One row: one scope of the window, which is no longer than 24 hours; which part of its executions
-- took longer than the target, and how many there were.
SELECT
    scope_of($by, model_tier, pool_type, repo, task_type) AS scope,
    ratio(
        count(*) FILTER (WHERE duration_seconds > $target_seconds), count(duration_seconds)
    ) AS value,
    count(duration_seconds) AS samples
FROM recent_executions
WHERE timestamp >= $window_start AND timestamp < $window_end
GROUP BY ALL
