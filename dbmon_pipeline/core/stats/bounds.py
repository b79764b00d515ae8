"""Bounds of a figure by its sample size, and the probability of a silence."""

from __future__ import annotations

import math
from functools import cache
from statistics import NormalDist

_LARGEST_SIZE = 1e9


@cache
def quantile(confidence: float) -> float:
    """Compute how many standard errors a one-sided bound lies away.

    Args:
        confidence: The probability that the true value is on the near side of the bound, 0.5 to 1.
    """
    return NormalDist().inv_cdf(confidence)


def wilson_bounds(part: float, samples: float, confidence: float) -> tuple[float, float]:
    """Compute the one-sided lower and upper bounds of a rate.

    The score interval of E. B. Wilson, Probable inference, the law of succession, and statistical
    inference, Journal of the American Statistical Association 22 (1927). It does not collapse at
    0 % and 100 %, and holds for small samples.

    Args:
        part: The rate that was seen, 0 to 1.
        samples: Of how many, at least one.
        confidence: The probability that the true rate is not beyond one of the bounds.
    """
    z = quantile(confidence)
    shrink = 1 + z * z / samples
    centre = (part + z * z / (2 * samples)) / shrink
    reach = z / shrink * math.sqrt(part * (1 - part) / samples + z * z / (4 * samples * samples))
    return max(0.0, centre - reach), min(1.0, centre + reach)


def chance_of_at_most(count: int, mean: float, variance: float) -> float:
    """Compute the probability of so few events or fewer.

    Counts of a busy system vary more than a Poisson process: the negative binomial distribution
    with that mean and variance, or Poisson if the variance is not larger than the mean.

    Args:
        count: How many events were seen, 0 or more.
        mean: How many are usual, above 0.
        variance: By how much the number of events varies.
    """
    excess = variance / mean - 1
    if excess * _LARGEST_SIZE <= mean:  # Next to Poisson; or so many that any few are impossible.
        logs = [k * math.log(mean) - mean - math.lgamma(k + 1) for k in range(count + 1)]
    else:
        size = mean / excess
        logs = [
            math.lgamma(size + k)
            - math.lgamma(size)
            - math.lgamma(k + 1)
            + size * math.log(size / (size + mean))
            + k * math.log(mean / (size + mean))
            for k in range(count + 1)
        ]
    return min(1.0, math.fsum(map(math.exp, logs)))
