-- One row: how many executions the window has.
SELECT
    'all' AS scope,
    CAST(coalesce(total(executions), 0) AS DOUBLE) AS value,
    coalesce(total(executions), 0) AS samples
FROM executions_between($window_start, $window_end)
