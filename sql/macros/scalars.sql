-- What questions count with. A sum of whole numbers is a BIGINT, because a HUGEINT turns into text
-- in some tools; a part of nothing is NULL, never 0 % and never an error.
CREATE MACRO total(n) AS CAST(sum(n) AS BIGINT);

CREATE MACRO ratio(part, whole) AS part / nullif(whole, 0);

-- Where the whole days of [since, until) begin and end. Up to 48 hours there are none, so that all
-- cells of a short range are hours.
CREATE MACRO whole_days_from(since, until) AS CASE
    WHEN until - since <= INTERVAL 48 HOUR THEN until
    ELSE date_trunc('day', since + INTERVAL 1 DAY - INTERVAL 1 MICROSECOND)
END;

CREATE MACRO whole_days_until(since, until) AS CASE
    WHEN until - since <= INTERVAL 48 HOUR THEN until
    ELSE date_trunc('day', until)
END;

-- Where a cell stands in a chart over [since, until): at its hour, or in a long range at its day.
CREATE MACRO chart_time(start, since, until) AS CASE
    WHEN until - since <= INTERVAL 48 HOUR THEN start
    ELSE date_trunc('day', start)
END;

-- The value that a bucket of a distribution stands for: see sql/rollups/hourly_distribution.sql.
CREATE MACRO bucket_value(bucket) AS CASE
    WHEN bucket = -100000 THEN 0.0
    ELSE 2 * pow(1.01 / 0.99, bucket) / (1.01 / 0.99 + 1)
END;

-- The percentile q of values whose ranks go from 0 to `last_rank`. The two values beside it lie in
-- the two buckets, each within 1 %; between them it is linear.
CREATE MACRO percentile(low_bucket, high_bucket, last_rank, q) AS
bucket_value(low_bucket)
+ (q * last_rank - floor(q * last_rank))
* (bucket_value(high_bucket) - bucket_value(low_bucket));

-- The scope that an execution belongs to: its value of the dimension of that name, or 'all'.
CREATE MACRO scope_of(dimension, model_tier, pool_type, repo, task_type) AS CASE dimension
    WHEN 'model_tier' THEN model_tier
    WHEN 'pool_type' THEN pool_type
    WHEN 'repo' THEN repo
    WHEN 'task_type' THEN task_type
    ELSE 'all'
END;
