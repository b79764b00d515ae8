-- One row: one complexity score that executions have; -1 stands for all below 0, 101 for all above
-- 100. The share is of the executions that have a score.
-- Category: Repositories
-- Chart: histogram
-- Filters: model_tier, repo
SELECT
    complexity,
    total(executions) AS executions,
    ratio(sum(executions), sum(sum(executions)) OVER ()) AS share,
    ratio(sum(successes), sum(executions)) AS success_rate,
    ratio(sum(duration_sum), sum(duration_count)) AS avg_duration_seconds,
    ratio(sum(actual_cost_sum), sum(actual_cost_count)) AS avg_cost
FROM complexity_between($since, $until, $model_tier, $repo)
GROUP BY ALL
ORDER BY complexity
