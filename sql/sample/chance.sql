-- Chance without the state of a generator: a number depends on the row's own dice and on what it
-- is for, so the same arguments give the same rows, whatever the order and the number of threads.

-- A number in [0, 1), of 53 bits. Hashed twice, because the hash of two values is only their
-- combination: without the outer one, the numbers of one row would hang together.
CREATE TEMP MACRO chance(dice, purpose) AS -- noqa: CP05
(hash(hash(dice, purpose)) >> 11) / 9007199254740992;

-- A number with mean 0 and standard deviation 1, after Box and Muller.
CREATE TEMP MACRO normal(dice, purpose) AS -- noqa: CP05
sqrt(-2 * ln(1 - chance(dice, purpose))) * cos(2 * pi() * chance(dice, purpose || ', angle'));
