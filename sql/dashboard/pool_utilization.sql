-- One row: one pool type with executions. avg_concurrency is how many ran at once on average: busy
-- time over the length of the range (Little's law).
-- Category: Pools
-- Chart: table
-- Filters: model_tier, pool_type, repo, task_type
SELECT
    pool_type,
    total(executions) AS executions,
    ratio(sum(executions), sum(sum(executions)) OVER ()) AS share,
    sum(duration_sum) AS busy_seconds,
    sum(duration_sum) / epoch($until - $since) AS avg_concurrency,
    ratio(sum(successes), sum(executions)) AS success_rate,
    ratio(sum(duration_sum), sum(duration_count)) AS avg_duration_seconds,
    ratio(sum(memory_sum), sum(memory_count)) AS avg_memory_mb,
    ratio(sum(cpu_sum), sum(cpu_count)) AS avg_cpu_seconds,
    sum(actual_cost_sum) AS total_cost
FROM executions_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
GROUP BY ALL
ORDER BY pool_type
