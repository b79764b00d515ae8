-- Every question over a range reads from these: the cells of [since, until) that pass its filters.
-- A filter that is NULL lets everything pass.

-- One row: a cell of the executions that begins at `start`, with the measures of hourly_summary.
CREATE MACRO executions_between(
    since, until,
    only_model_tier := NULL,
    only_pool_type := NULL,
    only_repo := NULL,
    only_task_type := NULL
) AS TABLE
SELECT *
FROM execution_cells(since, until)
WHERE
    (only_model_tier IS NULL OR model_tier = only_model_tier)
    AND (only_pool_type IS NULL OR pool_type = only_pool_type)
    AND (only_repo IS NULL OR repo = only_repo)
    AND (only_task_type IS NULL OR task_type = only_task_type);

-- One row: one error type in one repo, task type, model tier and pool type.
CREATE MACRO errors_between(
    since, until,
    only_model_tier := NULL,
    only_pool_type := NULL,
    only_repo := NULL,
    only_task_type := NULL
) AS TABLE
SELECT *
FROM error_cells(since, until)
WHERE
    (only_model_tier IS NULL OR model_tier = only_model_tier)
    AND (only_pool_type IS NULL OR pool_type = only_pool_type)
    AND (only_repo IS NULL OR repo = only_repo)
    AND (only_task_type IS NULL OR task_type = only_task_type);

-- One row: one repo and model tier, and one complexity score.
CREATE MACRO complexity_between(
    since, until,
    only_model_tier := NULL,
    only_repo := NULL
) AS TABLE
SELECT *
FROM complexity_cells(since, until)
WHERE
    (only_model_tier IS NULL OR model_tier = only_model_tier)
    AND (only_repo IS NULL OR repo = only_repo);

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
FROM hour_cells(since, until)
WHERE
    only_repo IS NULL
    AND only_task_type IS NULL
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
    FROM distribution_cells(since, until)
    WHERE
        metric = of_metric
        AND (only_model_tier IS NULL OR model_tier = only_model_tier)
        AND (only_pool_type IS NULL OR pool_type = only_pool_type)
    GROUP BY ALL
),

running AS (
    SELECT
        name,
        bucket,
        CAST(sum(n) OVER (PARTITION BY name ORDER BY bucket) AS DOUBLE) AS upto,
        CAST(sum(n) OVER (PARTITION BY name) - 1 AS DOUBLE) AS last_rank
    FROM buckets
),

beside AS (
    SELECT
        name,
        max(last_rank) AS last_rank,
        min(bucket) FILTER (WHERE upto > floor(0.5 * last_rank)) AS low_50,
        min(bucket) FILTER (WHERE upto > ceil(0.5 * last_rank)) AS high_50,
        min(bucket) FILTER (WHERE upto > floor(0.95 * last_rank)) AS low_95,
        min(bucket) FILTER (WHERE upto > ceil(0.95 * last_rank)) AS high_95,
        min(bucket) FILTER (WHERE upto > floor(0.99 * last_rank)) AS low_99,
        min(bucket) FILTER (WHERE upto > ceil(0.99 * last_rank)) AS high_99
    FROM running
    GROUP BY ALL
)

SELECT
    name,
    percentile(low_50, high_50, last_rank, 0.5) AS p50,
    percentile(low_95, high_95, last_rank, 0.95) AS p95,
    percentile(low_99, high_99, last_rank, 0.99) AS p99
FROM beside;

-- One row: one hour like the last one before an instant: the same hour of the week, the one before
-- or the one after, of the eight weeks before; an hour without executions has 0. Hours before the
-- first execution of the range do not count.
CREATE MACRO hours_alike(since, until, instant) AS TABLE
WITH seen AS (
    SELECT
        hour,
        total(executions) AS executions,
        total(successes) AS successes,
        total(duration_count) AS duration_count,
        sum(duration_sum) AS duration_sum,
        total(actual_cost_count) AS cost_count,
        sum(actual_cost_sum) AS cost_sum
    FROM hour_cells(since, until)
    GROUP BY ALL
),

weeks (ago) AS (VALUES (1), (2), (3), (4), (5), (6), (7), (8)),

shifts (shift) AS (VALUES (-1), (0), (1)),

ending AS (
    SELECT
        date_trunc('hour', instant - INTERVAL 30 MINUTE) AS last_hour
),

alike AS (
    SELECT
        ending.last_hour - weeks.ago * INTERVAL 7 DAY + shifts.shift * INTERVAL 1 HOUR AS hour
    FROM ending
    CROSS JOIN weeks
    CROSS JOIN shifts
),

known AS (
    SELECT min(hour) AS first_hour
    FROM seen
)

SELECT
    alike.hour,
    coalesce(seen.executions, 0) AS executions,
    coalesce(seen.successes, 0) AS successes,
    coalesce(seen.duration_count, 0) AS duration_count,
    coalesce(seen.duration_sum, 0) AS duration_sum,
    coalesce(seen.cost_count, 0) AS cost_count,
    coalesce(seen.cost_sum, 0) AS cost_sum
FROM alike
CROSS JOIN known
LEFT JOIN seen ON alike.hour = seen.hour
WHERE alike.hour >= known.first_hour;
