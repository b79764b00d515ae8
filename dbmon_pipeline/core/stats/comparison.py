"""Comparison of two periods: is a difference more than chance, or the usual scatter, explains?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist

from dbmon_pipeline.core.stats.bounds import wilson_bounds

_MOST_EXACT = 20
"""With more values than this the normal approximation is as good, and much quicker."""


def difference_bounds(
    now: float, samples_now: float, before: float, samples_before: float, confidence: float
) -> tuple[float, float]:
    """Compute the one-sided bounds of a difference of two rates, now minus before.

    The hybrid score interval (method 10) of R. G. Newcombe, Interval estimation for the difference
    between independent proportions, Statistics in Medicine 17 (1998): it is made from the Wilson
    bounds of both, and is right at 0 % and 100 % and for small samples, too.

    Args:
        now: One rate, 0 to 1.
        samples_now: Of how many.
        before: The other.
        samples_before: Of how many.
        confidence: The probability that the true difference is not beyond one of the bounds.
    """
    low_now, high_now = wilson_bounds(now, samples_now, confidence)
    low_before, high_before = wilson_bounds(before, samples_before, confidence)
    difference = now - before
    return (
        difference - math.hypot(now - low_now, high_before - before),
        difference + math.hypot(high_now - now, before - low_before),
    )


def scatter(parts: Sequence[tuple[int, int]]) -> float:
    """Compute how many times more a rate varies between parts than by chance; at least 1.

    A sample says as little as one that is so many times smaller. Pearson's statistic over its
    degrees of freedom, as R. W. M. Wedderburn, Quasi-likelihood functions, generalized linear
    models, and the Gauss-Newton method, Biometrika 61 (1974) has it.

    Args:
        parts: How many of how many, for each part of a period.
    """
    seen = [part for part in parts if part[1]]
    counted, samples = (sum(column) for column in zip(*seen, strict=True)) if seen else (0, 0)
    if len(seen) < 2 or not 0 < counted < samples:
        return 1.0
    rate = counted / samples
    statistic = math.fsum(
        (count - size * rate) ** 2 / (size * rate * (1 - rate)) for count, size in seen
    )
    return max(1.0, statistic / (len(seen) - 1))


def rank_sum_chance(now: Sequence[float], before: Sequence[float]) -> float:
    """Compute how often chance alone parts two samples so far, or further, in either direction.

    The test of F. Wilcoxon, Individual comparisons by ranking methods, Biometrics Bulletin 1
    (1945): it asks for no distribution, and one odd value does not decide it. Equal values share
    their mean rank. Exact for few values; for many the normal approximation of H. B. Mann and
    D. R. Whitney, Annals of Mathematical Statistics 18 (1947), corrected for ties and continuity.

    Args:
        now: The values of one sample, at least one.
        before: Those of the other, at least one.
    """
    ranks = _twice_the_ranks([*now, *before])
    size, all_of_them = len(now), len(ranks)
    mean = size * (all_of_them + 1)
    apart = abs(sum(ranks[:size]) - mean)
    if all_of_them <= _MOST_EXACT:
        ways = _ways(ranks, size)
        as_far = sum(count for total, count in ways.items() if abs(total - mean) >= apart)
        return as_far / ways.total()
    ties = math.fsum(n**3 - n for n in Counter(ranks).values())
    spread = (all_of_them + 1) - ties / (all_of_them * (all_of_them - 1))
    deviation = math.sqrt(size * (all_of_them - size) / 12 * spread)
    if not deviation:
        return 1.0
    return min(1.0, 2 * NormalDist().cdf(-(apart / 2 - 0.5) / deviation))


def least_chance(size_now: int, size_before: int) -> float:
    """Compute the smallest value of :func:`rank_sum_chance` with so many values."""
    return min(1.0, 2 / math.comb(size_now + size_before, size_now))


def _twice_the_ranks(values: Sequence[float]) -> list[int]:
    """Rank each value from 1 on, doubled, so that mean ranks are whole numbers."""
    ordered = sorted(values)
    first = {value: place for place, value in reversed([*enumerate(ordered, 1)])}
    counts = Counter(ordered)
    return [2 * first[value] + counts[value] - 1 for value in values]


def _ways(ranks: Sequence[int], size: int) -> Counter[int]:
    """Count in how many ways so many of the ranks have each sum."""
    ways: list[Counter[int]] = [Counter() for _ in range(size + 1)]
    ways[0][0] = 1
    for rank in ranks:
        for taken in range(size, 0, -1):
            for total, count in ways[taken - 1].items():
                ways[taken][total + rank] += count
    return ways[size]
