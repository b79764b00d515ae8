-- One row: all executions of the window; which part of them names an error, and how many there are.
SELECT
    'all' AS scope,
    ratio(sum(errors), sum(executions)) AS value,
    coalesce(total(executions), 0) AS samples
FROM executions_between($window_start, $window_end)
