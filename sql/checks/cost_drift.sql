-- One row: one scope of the window, which is no longer than 24 hours; its actual cost as a multiple
-- of its estimate, from how many executions that have both, and the standard error of that ratio
-- (W. G. Cochran, Sampling Techniques, 1977, chapter 6: the ratio estimator).
WITH costs AS (
    SELECT
        scope_of($by, model_tier, pool_type, repo, task_type) AS scope,
        count(*) AS samples,
        ratio(sum(actual_cost), sum(cost_estimate)) AS value,
        sum(cost_estimate) AS estimates,
        sum(actual_cost * actual_cost) AS actual_squares,
        sum(actual_cost * cost_estimate) AS products,
        sum(cost_estimate * cost_estimate) AS estimate_squares
    FROM recent_executions
    WHERE
        timestamp >= $window_start
        AND timestamp < $window_end
        AND actual_cost IS NOT NULL
        AND cost_estimate IS NOT NULL
    GROUP BY ALL
)

SELECT
    scope,
    value,
    samples,
    ratio(
        sqrt(
            greatest(actual_squares - 2 * value * products + value * value * estimate_squares, 0)
        ),
        estimates
    ) AS standard_error
FROM costs
