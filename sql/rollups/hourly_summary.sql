-- One row: one hour of one repo, task type, model tier and pool type.
-- The grain that every question over full hours is answered from.
-- Every measure is additive (or a minimum or maximum), so rows merge over any dimension or range;
-- a sum of nothing is NULL, and the count of known values stands beside every sum.
-- Key: hour, repo, task_type, model_tier, pool_type
-- From: executions
-- Total: executions = sum(executions)
-- Total: successes = sum(successes)
-- Total: errors = sum(errors)
-- Total: duration_count = sum(duration_count)
-- Total: duration_sum = sum(duration_sum)
-- Total: actual_cost_sum = sum(actual_cost_sum)
-- Total: memory_count = sum(memory_count)
-- Total: complexity_count = sum(complexity_count)
SELECT
    date_trunc('hour', timestamp) AS hour,
    repo,
    task_type,
    model_tier,
    pool_type,
    count(*) AS executions,
    count(*) FILTER (WHERE success) AS successes,
    count(error_type) AS errors,
    count(duration_seconds) AS duration_count,
    sum(duration_seconds) AS duration_sum,
    min(duration_seconds) AS duration_min,
    max(duration_seconds) AS duration_max,
    count(quality_score) AS quality_count,
    CAST(sum(quality_score) AS BIGINT) AS quality_sum,
    count(*) FILTER (WHERE quality_score >= 90) AS excellent_count,
    count(*) FILTER (WHERE quality_score >= 75 AND quality_score < 90) AS good_count,
    count(*) FILTER (WHERE quality_score >= 60 AND quality_score < 75) AS fair_count,
    count(*) FILTER (WHERE quality_score < 60) AS poor_count,
    count(cost_estimate) AS cost_estimate_count,
    sum(cost_estimate) AS cost_estimate_sum,
    count(actual_cost) AS actual_cost_count,
    sum(actual_cost) AS actual_cost_sum,
    count(*) FILTER (
        WHERE cost_estimate IS NOT NULL AND actual_cost IS NOT NULL
    ) AS both_costs_count,
    sum(cost_estimate) FILTER (WHERE actual_cost IS NOT NULL) AS both_costs_estimate_sum,
    sum(actual_cost) FILTER (WHERE cost_estimate IS NOT NULL) AS both_costs_actual_sum,
    count(user_accepted) AS feedback_count,
    count(*) FILTER (WHERE user_accepted) AS accepted_count,
    count(user_rating) AS rating_count,
    CAST(sum(user_rating) AS BIGINT) AS rating_sum,
    count(peak_memory_mb) AS memory_count,
    sum(peak_memory_mb) AS memory_sum,
    count(cpu_time_seconds) AS cpu_count,
    sum(cpu_time_seconds) AS cpu_sum,
    count(estimated_tokens) AS tokens_count,
    CAST(sum(estimated_tokens) AS BIGINT) AS tokens_sum,
    count(file_count) AS files_count,
    CAST(sum(file_count) AS BIGINT) AS files_sum,
    count(complexity_score) AS complexity_count,
    CAST(sum(complexity_score) AS BIGINT) AS complexity_sum,
    count(routing_confidence) AS confidence_count,
    sum(routing_confidence) AS confidence_sum
FROM executions
WHERE timestamp >= $window_start AND timestamp < $window_end
GROUP BY ALL
