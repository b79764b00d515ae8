-- One row: all executions of the window; which part of them succeeded, and how many there were.
SELECT
    'all' AS scope,
    ratio(sum(successes), sum(executions)) AS value,
    coalesce(total(executions), 0) AS samples
FROM executions_between($window_start, $window_end)
