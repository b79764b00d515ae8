-- One row: one stretch of time in which a rule was beyond a limit in one scope. It ends with the
-- next evaluation that finds it fine; one with too little data says nothing. No end: it lasts. What
-- began before the range begins with it.
-- Category: Monitor
-- Chart: table
WITH judged AS (
    SELECT
        rule,
        scope,
        evaluated_at,
        verdict,
        sentence,
        lead(evaluated_at) OVER (PARTITION BY rule, scope ORDER BY evaluated_at) AS next_at,
        count(*) FILTER (WHERE verdict = 'ok') OVER (
            PARTITION BY rule, scope
            ORDER BY evaluated_at
        ) AS stretch
    FROM check_history
    WHERE
        evaluated_at >= $since
        AND evaluated_at <= $until
        AND verdict <> 'insufficient_data'
),

stretches AS (
    SELECT
        rule,
        scope,
        CASE
            WHEN count(*) FILTER (WHERE verdict = 'critical') > 0 THEN 'critical'
            ELSE 'warning'
        END AS worst,
        min(evaluated_at) AS started_at,
        CASE WHEN count(*) = count(next_at) THEN max(next_at) END AS ended_at,
        min_by(sentence, evaluated_at) AS first_said
    FROM judged
    WHERE verdict <> 'ok'
    GROUP BY rule, scope, stretch
)

SELECT
    rule,
    scope,
    worst,
    started_at,
    ended_at,
    epoch(coalesce(ended_at, $until) - started_at) AS lasted_seconds,
    first_said
FROM stretches
ORDER BY started_at DESC, rule ASC, scope ASC
