-- One row: one day of one repo, model tier and task type.
-- How well a tier does at a kind of work, with percentiles that are exact at this grain.
-- Key: date, repo, model_tier, task_type
-- From: executions
-- Total: executions = sum(total_executions)
-- Total: successes = sum(successful_count)
-- Total: actual_cost_sum = sum(total_cost)
SELECT
    CAST(timestamp AS DATE) AS date,
    repo,
    model_tier,
    task_type,
    count(*) AS total_executions,
    count(*) FILTER (WHERE success) AS successful_count,
    CAST(count(*) FILTER (WHERE success) AS DOUBLE) / count(*) AS success_rate,
    avg(duration_seconds) AS avg_duration_seconds,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_seconds) AS p50_duration_seconds,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_seconds) AS p95_duration_seconds,
    percentile_cont(0.99) WITHIN GROUP (ORDER BY duration_seconds) AS p99_duration_seconds,
    avg(actual_cost) AS avg_cost,
    sum(actual_cost) AS total_cost,
    avg(quality_score) AS avg_quality
FROM executions
WHERE timestamp >= $window_start AND timestamp < $window_end
GROUP BY ALL
