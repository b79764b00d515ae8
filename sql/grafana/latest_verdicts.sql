-- One row: one scope of a rule as the latest evaluation of the range judged it, the worst first.
-- Category: Monitor
-- Chart: table
SELECT
    rule,
    scope,
    verdict,
    value,
    samples,
    warning,
    critical,
    sentence,
    evaluated_at
FROM check_history
WHERE evaluated_at <= $until
QUALIFY evaluated_at = max(evaluated_at) OVER ()
ORDER BY
    CASE verdict
        WHEN 'critical' THEN 0
        WHEN 'warning' THEN 1
        WHEN 'insufficient_data' THEN 2
        ELSE 3
    END,
    rule,
    scope
