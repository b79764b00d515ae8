-- One row: how many executions an hour like the last one before an instant usually has: mean and
-- variance, and over how many hours.
SELECT
    avg(executions) AS mean,
    coalesce(var_samp(executions), 0) AS variance,
    count(*) AS hours
FROM hours_alike($window_start, $window_end, $instant)
