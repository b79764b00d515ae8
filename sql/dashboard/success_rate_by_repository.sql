-- One row: one repository with executions, the lowest success rate first.
-- Category: Success rate
-- Chart: table
-- Filters: model_tier, pool_type, repo, task_type
SELECT
    repo,
    total(executions) AS executions,
    total(successes) AS successes,
    ratio(sum(successes), sum(executions)) AS success_rate
FROM executions_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
GROUP BY ALL
ORDER BY success_rate ASC, executions DESC, repo ASC
