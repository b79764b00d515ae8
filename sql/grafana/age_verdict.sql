-- One row: the rule on the age of the data, as it stands now: the data has grown older since the
-- latest evaluation, whose limits still hold. 2 is critical, 1 a warning.
-- Category: Alerts
-- Chart: table
SELECT
    scope,
    CAST(
        CASE
            WHEN verdict = 'critical' THEN 2
            WHEN direction = 'above' AND value + epoch($until - evaluated_at) > critical THEN 2
            WHEN verdict = 'warning' THEN 1
            WHEN direction = 'above' AND value + epoch($until - evaluated_at) > warning THEN 1
            ELSE 0
        END AS BIGINT
    ) AS badness
FROM check_history
WHERE
    rule = $rule
    AND evaluated_at = (SELECT max(latest.evaluated_at) FROM check_history AS latest)
ORDER BY scope
