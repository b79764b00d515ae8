-- One row: one hour of one repo and model tier, and one complexity score of its executions.
-- How work is spread over complexity, and whether hard work fails more; rows merge by adding.
-- A score below 0 counts as -1, one above 100 as 101, so that a table cannot grow without bound.
-- Key: hour, repo, model_tier, complexity
-- From: executions
-- Total: complexity_count = sum(executions)
SELECT
    date_trunc('hour', timestamp) AS hour,
    repo,
    model_tier,
    CAST(least(greatest(complexity_score, -1), 101) AS BIGINT) AS complexity,
    count(*) AS executions,
    count(*) FILTER (WHERE success) AS successes,
    count(duration_seconds) AS duration_count,
    sum(duration_seconds) AS duration_sum,
    count(actual_cost) AS actual_cost_count,
    sum(actual_cost) AS actual_cost_sum
FROM executions
WHERE
    timestamp >= $window_start
    AND timestamp < $window_end
    AND complexity_score IS NOT NULL
GROUP BY ALL
