-- The cells of [since, until), from which every question over a range is answered: whole days from
-- the daily tables, the hours at the edges from the hourly ones; an hour that has begun counts as a
-- whole. `start` is when a cell begins. A filter that is NULL lets everything pass.

-- One row: a cell of the executions, with the measures of hourly_summary.
CREATE MACRO executions_between(
    since, until,
    only_model_tier := NULL,
    only_pool_type := NULL,
    only_repo := NULL,
    only_task_type := NULL
) AS TABLE
SELECT *
FROM (
    SELECT CAST(date AS TIMESTAMP) AS start, * EXCLUDE (date)
    FROM daily_summary
    WHERE
        date >= CAST(whole_days_from(since, until) AS DATE)
        AND date < CAST(whole_days_until(since, until) AS DATE)
    UNION ALL BY NAME
    SELECT hour AS start, * EXCLUDE (hour)
    FROM hourly_summary
    WHERE
        hour >= date_trunc('hour', since)
        AND hour < until
        AND (hour < whole_days_from(since, until) OR hour >= whole_days_until(since, until))
)
WHERE
    (only_model_tier IS NULL OR model_tier = only_model_tier)
    AND (only_pool_type IS NULL OR pool_type = only_pool_type)
    AND (only_repo IS NULL OR repo = only_repo)
    AND (only_task_type IS NULL OR task_type = only_task_type);

-- One row: a cell of the errors, with the columns of error_summary.
CREATE MACRO errors_between(
    since, until,
    only_model_tier := NULL,
    only_pool_type := NULL,
    only_repo := NULL,
    only_task_type := NULL
) AS TABLE
SELECT *
FROM (
    SELECT CAST(date AS TIMESTAMP) AS start, * EXCLUDE (date)
    FROM daily_error_summary
    WHERE
        date >= CAST(whole_days_from(since, until) AS DATE)
        AND date < CAST(whole_days_until(since, until) AS DATE)
    UNION ALL BY NAME
    SELECT hour AS start, * EXCLUDE (hour)
    FROM error_summary
    WHERE
        hour >= date_trunc('hour', since)
        AND hour < until
        AND (hour < whole_days_from(since, until) OR hour >= whole_days_until(since, until))
)
WHERE
    (only_model_tier IS NULL OR model_tier = only_model_tier)
    AND (only_pool_type IS NULL OR pool_type = only_pool_type)
    AND (only_repo IS NULL OR repo = only_repo)
    AND (only_task_type IS NULL OR task_type = only_task_type);

-- One row: a cell of a complexity score, with the columns of hourly_complexity.
CREATE MACRO complexity_between(
    since, until,
    only_model_tier := NULL,
    only_repo := NULL
) AS TABLE
SELECT *
FROM (
    SELECT CAST(date AS TIMESTAMP) AS start, * EXCLUDE (date)
    FROM daily_complexity
    WHERE
        date >= CAST(whole_days_from(since, until) AS DATE)
        AND date < CAST(whole_days_until(since, until) AS DATE)
    UNION ALL BY NAME
    SELECT hour AS start, * EXCLUDE (hour)
    FROM hourly_complexity
    WHERE
        hour >= date_trunc('hour', since)
        AND hour < until
        AND (hour < whole_days_from(since, until) OR hour >= whole_days_until(since, until))
)
WHERE
    (only_model_tier IS NULL OR model_tier = only_model_tier)
    AND (only_repo IS NULL OR repo = only_repo);

-- One row: a cell of a distribution's bucket, with the columns of hourly_distribution.
CREATE MACRO distribution_between(
    since, until,
    only_model_tier := NULL,
    only_pool_type := NULL
) AS TABLE
SELECT *
FROM (
    SELECT CAST(date AS TIMESTAMP) AS start, * EXCLUDE (date)
    FROM daily_distribution
    WHERE
        date >= CAST(whole_days_from(since, until) AS DATE)
        AND date < CAST(whole_days_until(since, until) AS DATE)
    UNION ALL BY NAME
    SELECT hour AS start, * EXCLUDE (hour)
    FROM hourly_distribution
    WHERE
        hour >= date_trunc('hour', since)
        AND hour < until
        AND (hour < whole_days_from(since, until) OR hour >= whole_days_until(since, until))
)
WHERE
    (only_model_tier IS NULL OR model_tier = only_model_tier)
    AND (only_pool_type IS NULL OR pool_type = only_pool_type);

-- One row: an hour of one combination of dimensions, with the measures of hourly_summary, however
-- long the range is: for charts by the hour. Without a repo and a task type the much smaller
-- hourly_totals have the answer.
CREATE MACRO hours_between(
    since, until,
    only_model_tier := NULL,
    only_pool_type := NULL,
    only_repo := NULL,
    only_task_type := NULL
) AS TABLE
SELECT * EXCLUDE (repo, task_type)
FROM hourly_summary
WHERE
    (only_repo IS NOT NULL OR only_task_type IS NOT NULL)
    AND hour >= date_trunc('hour', since)
    AND hour < until
    AND (only_model_tier IS NULL OR model_tier = only_model_tier)
    AND (only_pool_type IS NULL OR pool_type = only_pool_type)
    AND (only_repo IS NULL OR repo = only_repo)
    AND (only_task_type IS NULL OR task_type = only_task_type)
UNION ALL BY NAME
SELECT *
FROM hourly_totals
WHERE
    only_repo IS NULL
    AND only_task_type IS NULL
    AND hour >= date_trunc('hour', since)
    AND hour < until
    AND (only_model_tier IS NULL OR model_tier = only_model_tier)
    AND (only_pool_type IS NULL OR pool_type = only_pool_type);

-- One row: the percentiles of a metric for one value of the dimension `grouped_by` ('model_tier' or
-- 'pool_type'), or for all together (NULL).
CREATE MACRO percentiles_between(
    since, until, of_metric, grouped_by, only_model_tier := NULL, only_pool_type := NULL
) AS TABLE
WITH buckets AS (
    SELECT
        CASE grouped_by
            WHEN 'model_tier' THEN model_tier
            WHEN 'pool_type' THEN pool_type
        END AS name,
        bucket,
        sum(n) AS n
    FROM distribution_between(
        since, until, only_model_tier := only_model_tier, only_pool_type := only_pool_type
    )
    WHERE metric = of_metric
    GROUP BY ALL
),

running AS (
    SELECT
        name,
        bucket,
        sum(n) OVER (PARTITION BY name ORDER BY bucket) AS upto,
        sum(n) OVER (PARTITION BY name) AS n_all
    FROM buckets
)

SELECT
    name,
    percentile(bucket, upto, n_all, 0.5) AS p50,
    percentile(bucket, upto, n_all, 0.95) AS p95,
    percentile(bucket, upto, n_all, 0.99) AS p99
FROM running
GROUP BY ALL;
