-- Real executions leave columns empty, carry ids that are no UUID, and embeddings of any length: a
-- table that is filled from a file has the founding columns, without what the founding one refuses.
CREATE TABLE relaxed AS
SELECT
    * REPLACE ( -- noqa: AM04
        CAST(task_id AS VARCHAR) AS task_id,
        CAST(embedding AS FLOAT[]) AS embedding
    )
FROM executions;
DROP TABLE executions;
ALTER TABLE relaxed RENAME TO executions;
