-- One row: one day of one repo and model tier, and one complexity score of its executions.
-- hourly_complexity added up, for ranges that span whole days.
-- Key: date, repo, model_tier, complexity
-- From: hourly_complexity
-- Total: complexity_count = sum(executions)
SELECT
    CAST(hour AS DATE) AS date,
    repo,
    model_tier,
    complexity,
    CAST(sum(executions) AS BIGINT) AS executions,
    CAST(sum(successes) AS BIGINT) AS successes,
    CAST(sum(duration_count) AS BIGINT) AS duration_count,
    sum(duration_sum) AS duration_sum,
    CAST(sum(actual_cost_count) AS BIGINT) AS actual_cost_count,
    sum(actual_cost_sum) AS actual_cost_sum
FROM hourly_complexity
WHERE hour >= $window_start AND hour < $window_end
GROUP BY ALL
