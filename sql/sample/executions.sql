-- One row: one made-up execution, numbered n of $row_count in the order of time, with the habits
-- of real ones, so that every figure, alert and panel can be tried without anybody's data.
-- A statement makes the rows from $first_row up to, without, $next_row. Money and durations are
-- rounded, so that the last bit of a logarithm cannot make two machines differ.
INSERT INTO executions BY NAME
WITH
tiers (model_tier, success_rate, typical_seconds, usd_per_token, typical_quality) AS (
    VALUES
    ('small', 0.90, 12, 0.0000008, 74),
    ('medium', 0.93, 35, 0.000004, 82),
    ('large', 0.955, 90, 0.00002, 89)
),

task_types (task_type, success_shift, effort, goal, solutions) AS (
    VALUES
    ('bug_fix', -0.01, 1.2, 'Fix the failure', [
        'Guard against NULL', 'Close the connection on every path', 'Correct an off-by-one index',
        'Await the missing coroutine', 'Normalise time zones to UTC', 'Handle the empty result'
    ]),
    ('code_review', 0.03, 0.6, 'Review the change', [
        'Approve with remarks', 'Ask for tests of the error path', 'Point out a race',
        'Suggest a simpler query', 'Find an unused dependency', 'Ask for a smaller change'
    ]),
    ('refactoring', -0.02, 1.5, 'Simplify the code', [
        'Extract a pure function', 'Split the module by concern', 'Replace flags with an enum',
        'Inline a needless abstraction', 'Move the state to its owner', 'Type the interface'
    ]),
    ('test_generation', 0.01, 0.9, 'Write tests', [
        'Cover the edge cases', 'Add a property-based test', 'Replace mocks with a fake',
        'Test the retry with a fake clock', 'Parametrize the table of cases', 'Pin the regression'
    ]),
    ('feature', -0.03, 2.0, 'Build the feature', [
        'Add the endpoint and its client', 'Add the option with a default', 'Stream the results',
        'Cache by content hash', 'Add pagination', 'Validate the input at the border'
    ]),
    ('documentation', 0.03, 0.5, 'Explain the behaviour', [
        'Document the public interface', 'Add a worked example', 'Correct outdated commands',
        'Write the upgrade notes', 'Draw the flow of data', 'Explain the error messages'
    ]),
    ('dependency_update', 0.0, 0.7, 'Update the dependencies', [
        'Raise the lower bound', 'Replace a deprecated call', 'Pin a broken release',
        'Drop an unused package', 'Regenerate the lock file', 'Adapt to the new signature'
    ])
),

-- Working hours and working days are busier, and no two hours are alike.
hours AS (
    SELECT
        $until - to_days($days) + to_hours(hour_numbers.i) AS started_at,
        (100 + hash($seed, hour_numbers.i) % 40)
        * CASE
            WHEN hour(started_at) BETWEEN 8 AND 17 THEN 10
            WHEN hour(started_at) BETWEEN 6 AND 20 THEN 7
            ELSE 4
        END
        * CASE WHEN isodow(started_at) > 5 THEN 1 ELSE 2 END AS weight
    FROM range(24 * $days) AS hour_numbers (i)
),

-- Each hour's share of the row numbers, in whole numbers: together they leave none out.
shares AS (
    SELECT
        started_at,
        sum(weight) OVER () AS all_weight,
        sum(weight) OVER (ORDER BY started_at) AS weight_so_far,
        CAST($row_count * (weight_so_far - weight) // all_weight AS BIGINT) AS first_row,
        CAST($row_count * weight_so_far // all_weight AS BIGINT) AS next_row
    FROM hours
),

numbered AS MATERIALIZED (
    SELECT
        started_at,
        first_row,
        next_row - first_row AS hour_rows,
        unnest(range(greatest(first_row, $first_row), least(next_row, $next_row))) AS n,
        hash($seed, n) AS dice
    FROM shares
),

tasks AS (
    SELECT
        dice,
        started_at + to_microseconds(
            3600000000 * (n - first_row) // hour_rows
            + CAST(floor(chance(dice, 'moment') * (3600000000 // hour_rows)) AS BIGINT)
        ) AS timestamp,
        CAST(1 + floor(10 * pow(chance(dice, 'complexity'), 1.4)) AS INT) AS complexity_score,
        chance(dice, 'repo') AS repo_at,
        chance(dice, 'task type') AS task_type_at,
        chance(dice, 'pool') AS pool_at,
        chance(dice, 'tier') + 0.035 * complexity_score AS tier_at,
        CASE
            WHEN repo_at < 0.34 THEN 'mahavishnu'
            WHEN repo_at < 0.56 THEN 'session-buddy'
            WHEN repo_at < 0.70 THEN 'crackerjack'
            WHEN repo_at < 0.80 THEN 'oneiric'
            WHEN repo_at < 0.88 THEN 'akosha'
            WHEN repo_at < 0.94 THEN 'dhruva'
            WHEN repo_at < 0.98 THEN 'mcp-common'
            ELSE 'fastblocks'
        END AS repo,
        CASE
            WHEN task_type_at < 0.27 THEN 'bug_fix'
            WHEN task_type_at < 0.48 THEN 'code_review'
            WHEN task_type_at < 0.64 THEN 'refactoring'
            WHEN task_type_at < 0.78 THEN 'test_generation'
            WHEN task_type_at < 0.89 THEN 'feature'
            WHEN task_type_at < 0.96 THEN 'documentation'
            ELSE 'dependency_update'
        END AS task_type,
        CASE
            WHEN pool_at < 0.55 THEN 'mahavishnu'
            WHEN pool_at < 0.85 THEN 'session_buddy'
            ELSE 'kubernetes'
        END AS pool_type,
        CASE
            WHEN tier_at < 0.62 THEN 'small'
            WHEN tier_at < 1.0 THEN 'medium'
            ELSE 'large'
        END AS model_tier
    FROM numbered
),

described AS (
    SELECT
        tasks.*,
        tiers.success_rate + task_types.success_shift AS success_rate,
        tiers.typical_seconds * task_types.effort AS typical_seconds,
        tiers.usd_per_token,
        tiers.typical_quality,
        task_types.goal,
        task_types.solutions
    FROM tasks
    INNER JOIN tiers ON tasks.model_tier = tiers.model_tier
    INNER JOIN task_types ON tasks.task_type = task_types.task_type
),

runs AS (
    SELECT
        *,
        $scenario = 'incident'
        AND model_tier = 'large'
        AND timestamp >= $until - INTERVAL 6 HOUR
        AND timestamp < $until - INTERVAL 2 HOUR
        AND chance(dice, 'overload') < 0.47 AS overloaded,
        NOT overloaded AND chance(dice, 'success') < success_rate AS success,
        -- Seen in the wild: failures that name no error, and successes that name one.
        CASE
            WHEN success THEN chance(dice, 'flaw') < 0.001
            ELSE overloaded OR chance(dice, 'flaw') > 0.0125
        END AS has_error,
        chance(dice, 'error type') AS error_at,
        CASE
            WHEN NOT has_error THEN NULL
            WHEN overloaded THEN 'ProviderOverloadedError'
            WHEN error_at < 0.32 THEN 'TimeoutError'
            WHEN error_at < 0.56 THEN 'ValidationError'
            WHEN error_at < 0.74 THEN 'RateLimitError'
            WHEN error_at < 0.87 THEN 'ToolExecutionError'
            WHEN error_at < 0.95 THEN 'ContextLengthError'
            ELSE 'AuthenticationError'
        END AS error_type,
        CAST(floor(1000 * chance(dice, 'detail')) AS INT) AS detail,
        round(
            typical_seconds
            * (0.6 + 0.08 * complexity_score)
            * exp(0.6 * normal(dice, 'duration')),
            3
        ) AS run_seconds,
        CAST(round(1500 * complexity_score * exp(0.5 * normal(dice, 'tokens'))) AS INT) AS tokens,
        CASE
            WHEN $scenario = 'drift'
                THEN 1 + 1.2 * greatest(
                    0, 0.5 - (epoch_us($until) - epoch_us(timestamp)) / (86400000000 * $days)
                )
            ELSE 1
        END AS drift,
        chance(dice, 'feedback') < 0.15 AS has_feedback,
        has_feedback
        AND chance(dice, 'accepted') < CASE WHEN success THEN 0.88 ELSE 0.15 END AS accepted
    FROM described
)

SELECT
    CAST(md5(CAST(dice AS VARCHAR)) AS UUID) AS task_id,
    timestamp,
    task_type,
    format('{} in module_{} of {}', goal, detail % 40, repo) AS task_description,
    repo,
    CAST(1 + floor(2 * complexity_score * chance(dice, 'files')) AS INT) AS file_count,
    tokens AS estimated_tokens,
    model_tier,
    pool_type,
    CASE
        WHEN complexity_score < 4 THEN NULL
        WHEN chance(dice, 'topology') < 0.5 THEN 'hierarchical'
        WHEN chance(dice, 'topology') < 0.8 THEN 'mesh'
        ELSE 'star'
    END AS swarm_topology,
    round(least(1, greatest(0, 0.8 + 0.1 * normal(dice, 'routing'))), 3) AS routing_confidence,
    complexity_score,
    success,
    run_seconds AS duration_seconds,
    CASE
        WHEN chance(dice, 'judged') < CASE WHEN success THEN 0.85 ELSE 0.3 END
            THEN CAST(least(100, greatest(0, round(
                typical_quality
                - CASE WHEN success THEN 0 ELSE 30 END
                + 8 * normal(dice, 'quality')
            ))) AS INT)
    END AS quality_score,
    round(tokens * usd_per_token, 6) AS cost_estimate,
    CASE
        WHEN chance(dice, 'billed') < 0.99
            THEN round(tokens * usd_per_token * drift * exp(0.1 * normal(dice, 'cost')), 6)
    END AS actual_cost,
    error_type,
    CASE error_type
        WHEN 'ProviderOverloadedError'
            THEN format('the provider is overloaded, retry after {} s', 30 + detail % 60)
        WHEN 'TimeoutError'
            THEN format('no answer after {} s from worker-{}', 30 * (1 + detail % 4), detail % 9)
        WHEN 'ValidationError'
            THEN format('the answer has no field "{}"', ['plan', 'patch', 'files'][1 + detail % 3])
        WHEN 'RateLimitError'
            THEN format('429: {} tokens a minute exceeded', 10000 * (1 + detail % 8))
        WHEN 'ToolExecutionError'
            THEN CASE
                WHEN detail < 80 THEN format('git refused the author dev{}@example.com', detail)
                ELSE format('pytest ended with exit code {}', 1 + detail % 5)
            END
        WHEN 'ContextLengthError'
            THEN format('{} tokens do not fit into the context', 128000 + detail * 100)
        WHEN 'AuthenticationError'
            THEN CASE
                WHEN detail < 400
                    THEN format('401: invalid key sk-{}', md5(CAST(detail AS VARCHAR)))
                ELSE '401: the session has expired'
            END
    END AS error_message,
    CASE WHEN has_feedback THEN accepted END AS user_accepted,
    CASE
        WHEN has_feedback AND chance(dice, 'rated') < 0.7
            THEN CAST(
                CASE WHEN accepted THEN 3 ELSE 1 END + floor(3 * chance(dice, 'rating')) AS INT
            )
    END AS user_rating,
    round(350 * exp(0.4 * normal(dice, 'memory')), 1) AS peak_memory_mb,
    round(run_seconds * (0.05 + 0.5 * chance(dice, 'processor')), 3) AS cpu_time_seconds,
    CASE
        WHEN success AND chance(dice, 'summed up') < 0.85
            THEN format(
                '{} in the {}',
                solutions[1 + CAST(floor(6 * pow(chance(dice, 'solution'), 2)) AS INT)],
                ['scheduler', 'client', 'store', 'parser', 'command line'][1 + detail % 5]
            )
    END AS solution_summary,
    CASE
        WHEN $embeddings
            THEN CAST([(chance(dice, i) - 0.5) / 5.66 FOR i IN range(384)] AS FLOAT[384])
    END AS embedding,
    json_object('attempt', 1 + detail % 2, 'worker', format('worker-{}', detail % 9)) AS metadata
FROM runs;
