-- One row: how many task ids of the window stand in more than one execution, how many executions
-- have none, and the first of the duplicates as an example.
SELECT
    count(*) FILTER (WHERE task_id IS NOT NULL) AS duplicate_task_ids,
    coalesce(CAST(sum(n) FILTER (WHERE task_id IS NULL) AS BIGINT), 0) AS missing_task_ids,
    min(task_id) AS example
FROM (
    SELECT
        task_id,
        count(*) AS n
    FROM executions
    WHERE timestamp >= $window_start AND timestamp < $window_end
    GROUP BY task_id
    HAVING count(*) > 1 OR task_id IS NULL
) AS repeated
