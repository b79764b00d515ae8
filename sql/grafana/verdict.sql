-- One row: one scope of a rule as the latest evaluation judged it: 2 is critical, 1 a warning.
-- Category: Alerts
-- Chart: table
SELECT
    scope,
    CAST(
        CASE verdict
            WHEN 'critical' THEN 2
            WHEN 'warning' THEN 1
            ELSE 0
        END AS BIGINT
    ) AS badness
FROM check_history
WHERE
    rule = $rule
    AND evaluated_at = (SELECT max(latest.evaluated_at) FROM check_history AS latest)
ORDER BY scope
