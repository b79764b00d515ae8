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

-- The percentile q of a group of buckets, linearly interpolated between the two values beside it,
-- each within 1 %. `upto` is the running sum of n over the buckets in their order, `n_all` the sum.
CREATE MACRO percentile(bucket, upto, n_all, q) AS
bucket_value(min(bucket) FILTER (WHERE upto > floor(q * (n_all - 1))))
+ (q * (max(n_all) - 1) - floor(q * (max(n_all) - 1)))
* (
    bucket_value(min(bucket) FILTER (WHERE upto > ceil(q * (n_all - 1))))
    - bucket_value(min(bucket) FILTER (WHERE upto > floor(q * (n_all - 1))))
);
