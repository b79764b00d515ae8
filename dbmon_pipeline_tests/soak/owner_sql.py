"""Statements of the owners, and the one that tells whether a reading mixes two states."""

from __future__ import annotations

BATCH_ROWS = 20_000
BROKEN_PROMISES = f"""
SELECT
    count(*) FILTER (
        files_sum <> complexity_sum OR quality_sum <> complexity_sum
        OR duration_sum * 4 <> complexity_sum OR complexity_count <> executions
    ) AS broken_rows,
    (SELECT count(*) FROM (
        SELECT sum(executions) AS n, sum(actual_cost_sum) AS cost FROM hourly_summary
        WHERE task_type LIKE 'batch %' GROUP BY task_type
        HAVING n <> {BATCH_ROWS} OR cost * 4 / n <> floor(cost * 4 / n)
    )) AS broken_batches,
    sum(executions) AS executions
FROM hourly_summary
"""
"""Cells of ``hourly_summary`` with a broken row, and batches of which not all was seen."""

INSERT = """
INSERT INTO executions BY NAME
SELECT
    uuid() AS task_id,
    CAST($latest AS TIMESTAMP) - to_microseconds(CAST(h % $spread_us AS BIGINT)) AS timestamp,
    coalesce($batch, ['bug_fix', 'feature', 'test'][1 + h // 7 % 3]) AS task_type,
    'Do it' AS task_description,
    'org/' || h // 11 % 4 AS repo,
    h // 23 % 101 AS file_count,
    ['small', 'medium', 'large'][1 + h // 17 % 3] AS model_tier,
    ['main', 'spare'][1 + h // 19 % 2] AS pool_type,
    h // 23 % 101 AS complexity_score,
    h // 29 % 10 > 0 AS success,
    h // 23 % 101 / 4 AS duration_seconds,
    h // 23 % 101 AS quality_score,
    CASE WHEN h // 41 % 5 > 0 THEN h // 43 % 100 / 1024 END AS cost_estimate,
    CASE WHEN $batch IS NOT NULL THEN 0 WHEN h // 47 % 5 > 0 THEN h // 53 % 100 / 1024 END
        AS actual_cost,
    CASE WHEN h // 29 % 10 = 0 THEN ['Timeout', 'Refused'][1 + h // 59 % 2] END AS error_type,
    CASE WHEN h // 29 % 10 = 0 THEN 'failed at step ' || h // 61 % 50 END AS error_message,
    h // 67 % 4096 AS peak_memory_mb,
    CASE WHEN h // 71 % 3 = 0 THEN 'try again ' || h // 73 % 20 END AS solution_summary,
FROM (SELECT CAST(hash(i, $seed) >> 2 AS BIGINT) AS h FROM range($rows) AS r (i))
"""
INSERT_ONE = """
INSERT INTO executions (
    task_id, timestamp, task_type, task_description, repo, model_tier, pool_type, complexity_score,
    file_count, quality_score, duration_seconds, success, actual_cost, error_type, solution_summary
)
VALUES (
    $id, $at, $type, 'Do it', $repo, $tier, 'main', $n, $n, $n, $n / 4, $good, $cost, $error, $text
)
"""
UPDATE = """
UPDATE executions
SET
    success = NOT success, user_rating = 1 + $n % 5, user_accepted = true, actual_cost = 0.5,
    complexity_score = $n, file_count = $n, quality_score = $n, duration_seconds = $n / 4
WHERE task_id = CAST($id AS UUID)
"""
UPDATE_PART = """
UPDATE executions SET actual_cost = actual_cost + 0.25, user_accepted = true
WHERE task_type = $batch AND complexity_score % $parts = $part
"""
DELETE = "DELETE FROM executions WHERE task_id = CAST($id AS UUID)"
RECREATE = """
CREATE TABLE fresh AS SELECT * FROM executions;
DROP TABLE executions;
ALTER TABLE fresh RENAME TO executions;
"""
