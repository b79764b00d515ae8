-- The cells of [since, until): whole days from the daily tables, the hours at the edges from the
-- hourly ones; an hour that has begun counts as a whole. Cells that no question orders by time are
-- added up over the range.

-- One row: a cell of the executions that begins at `start`, with the measures of hourly_summary.
CREATE MACRO execution_cells(since, until) AS TABLE
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
    AND (hour < whole_days_from(since, until) OR hour >= whole_days_until(since, until));

-- One row: an hour of one model tier and pool type, with the measures of hourly_summary, however
-- long the range is.
CREATE MACRO hour_cells(since, until) AS TABLE
SELECT *
FROM hourly_totals
WHERE hour >= date_trunc('hour', since) AND hour < until;

-- One row: one error type in one repo, task type, model tier and pool type.
CREATE MACRO error_cells(since, until) AS TABLE
SELECT
    error_type,
    repo,
    task_type,
    model_tier,
    pool_type,
    total(occurrences) AS occurrences,
    max(last_seen) AS last_seen,
    min(example_message) AS example_message
FROM (
    SELECT * EXCLUDE (date)
    FROM daily_error_summary
    WHERE
        date >= CAST(whole_days_from(since, until) AS DATE)
        AND date < CAST(whole_days_until(since, until) AS DATE)
    UNION ALL BY NAME
    SELECT * EXCLUDE (hour)
    FROM error_summary
    WHERE
        hour >= date_trunc('hour', since)
        AND hour < until
        AND (hour < whole_days_from(since, until) OR hour >= whole_days_until(since, until))
)
GROUP BY ALL;

-- One row: one repo and model tier, and one complexity score.
CREATE MACRO complexity_cells(since, until) AS TABLE
SELECT
    repo,
    model_tier,
    complexity,
    total(executions) AS executions,
    total(successes) AS successes,
    total(duration_count) AS duration_count,
    sum(duration_sum) AS duration_sum,
    total(actual_cost_count) AS actual_cost_count,
    sum(actual_cost_sum) AS actual_cost_sum
FROM (
    SELECT * EXCLUDE (date)
    FROM daily_complexity
    WHERE
        date >= CAST(whole_days_from(since, until) AS DATE)
        AND date < CAST(whole_days_until(since, until) AS DATE)
    UNION ALL BY NAME
    SELECT * EXCLUDE (hour)
    FROM hourly_complexity
    WHERE
        hour >= date_trunc('hour', since)
        AND hour < until
        AND (hour < whole_days_from(since, until) OR hour >= whole_days_until(since, until))
)
GROUP BY ALL;

-- One row: one model tier and pool type, one metric and one bucket of its values.
CREATE MACRO distribution_cells(since, until) AS TABLE
SELECT
    model_tier,
    pool_type,
    metric,
    bucket,
    total(n) AS n
FROM (
    SELECT * EXCLUDE (date)
    FROM daily_distribution
    WHERE
        date >= CAST(whole_days_from(since, until) AS DATE)
        AND date < CAST(whole_days_until(since, until) AS DATE)
    UNION ALL BY NAME
    SELECT * EXCLUDE (hour)
    FROM hourly_distribution
    WHERE
        hour >= date_trunc('hour', since)
        AND hour < until
        AND (hour < whole_days_from(since, until) OR hour >= whole_days_until(since, until))
)
GROUP BY ALL;
