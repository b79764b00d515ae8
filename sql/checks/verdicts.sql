-- One row: one rule and scope that was judged in the window: what was said last, and how often it
-- was judged and beyond a limit.
WITH judged AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY rule, scope ORDER BY evaluated_at DESC) AS age,
        count(*) OVER (PARTITION BY rule, scope) AS evaluations,
        count(*) FILTER (WHERE verdict = 'warning') OVER (PARTITION BY rule, scope) AS warnings,
        count(*) FILTER (WHERE verdict = 'critical') OVER (PARTITION BY rule, scope) AS criticals
    FROM check_history
    WHERE evaluated_at >= $window_start AND evaluated_at <= $window_end
)

SELECT
    rule,
    scope,
    verdict,
    value,
    samples,
    warning,
    critical,
    direction,
    evaluated_at,
    evaluations,
    warnings,
    criticals,
    sentence
FROM judged
WHERE age = 1
ORDER BY rule, scope
