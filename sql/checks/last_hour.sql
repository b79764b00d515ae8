-- One row: all executions of the window, with what an hour is compared by.
SELECT
    coalesce(total(executions), 0) AS executions,
    coalesce(total(successes), 0) AS successes,
    coalesce(total(duration_count), 0) AS duration_count,
    coalesce(sum(duration_sum), 0) AS duration_sum,
    coalesce(total(actual_cost_count), 0) AS cost_count,
    coalesce(sum(actual_cost_sum), 0) AS cost_sum
FROM executions_between($window_start, $window_end)
