-- One row: one hour of one model tier and pool type.
-- hourly_summary added up: a fraction of its rows, for charts by the hour.
-- Key: hour, model_tier, pool_type
-- From: hourly_summary
-- Total: executions = sum(executions)
-- Total: successes = sum(successes)
-- Total: duration_sum = sum(duration_sum)
SELECT
    hour,
    model_tier,
    pool_type,
    CAST(sum(executions) AS BIGINT) AS executions,
    CAST(sum(successes) AS BIGINT) AS successes,
    CAST(sum(errors) AS BIGINT) AS errors,
    CAST(sum(duration_count) AS BIGINT) AS duration_count,
    sum(duration_sum) AS duration_sum,
    min(duration_min) AS duration_min,
    max(duration_max) AS duration_max,
    CAST(sum(quality_count) AS BIGINT) AS quality_count,
    CAST(sum(quality_sum) AS BIGINT) AS quality_sum,
    CAST(sum(excellent_count) AS BIGINT) AS excellent_count,
    CAST(sum(good_count) AS BIGINT) AS good_count,
    CAST(sum(fair_count) AS BIGINT) AS fair_count,
    CAST(sum(poor_count) AS BIGINT) AS poor_count,
    CAST(sum(cost_estimate_count) AS BIGINT) AS cost_estimate_count,
    sum(cost_estimate_sum) AS cost_estimate_sum,
    CAST(sum(actual_cost_count) AS BIGINT) AS actual_cost_count,
    sum(actual_cost_sum) AS actual_cost_sum,
    CAST(sum(both_costs_count) AS BIGINT) AS both_costs_count,
    sum(both_costs_estimate_sum) AS both_costs_estimate_sum,
    sum(both_costs_actual_sum) AS both_costs_actual_sum,
    CAST(sum(feedback_count) AS BIGINT) AS feedback_count,
    CAST(sum(accepted_count) AS BIGINT) AS accepted_count,
    CAST(sum(rating_count) AS BIGINT) AS rating_count,
    CAST(sum(rating_sum) AS BIGINT) AS rating_sum,
    CAST(sum(memory_count) AS BIGINT) AS memory_count,
    sum(memory_sum) AS memory_sum,
    CAST(sum(cpu_count) AS BIGINT) AS cpu_count,
    sum(cpu_sum) AS cpu_sum,
    CAST(sum(tokens_count) AS BIGINT) AS tokens_count,
    CAST(sum(tokens_sum) AS BIGINT) AS tokens_sum,
    CAST(sum(files_count) AS BIGINT) AS files_count,
    CAST(sum(files_sum) AS BIGINT) AS files_sum,
    CAST(sum(complexity_count) AS BIGINT) AS complexity_count,
    CAST(sum(complexity_sum) AS BIGINT) AS complexity_sum,
    CAST(sum(confidence_count) AS BIGINT) AS confidence_count,
    sum(confidence_sum) AS confidence_sum
FROM hourly_summary
WHERE hour >= $window_start AND hour < $window_end
GROUP BY ALL
