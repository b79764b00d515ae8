"""Anomalies: is the last hour unlike the same hour of the weeks before?

A robust z score: how many standard errors a figure lies from the median of the hours alike, on a
scale on which its scatter does not depend on how large it is. The scatter is the median absolute
deviation (times 1.4826, as for a normal distribution), and never less than chance alone explains:
F. J. Anscombe, The transformation of Poisson, binomial and negative-binomial data, Biometrika 35
(1948); P. J. Rousseeuw and C. Croux, Alternatives to the median absolute deviation, Journal of the
American Statistical Association 88 (1993).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

_FEWEST_HOURS = 8
_TO_SIGMA = 1.4826
_SCATTER_OF_MEANS = 0.05
"""The least scatter of the logarithm of a mean that is taken for more than chance: 5 %."""


@dataclass(frozen=True)
class Hour:
    """What is compared of an hour.

    Attributes:
        executions: How many there were.
        successes: How many of them succeeded.
        duration_count: How many have a duration.
        duration_sum: Their seconds.
        cost_count: How many have a cost.
        cost_sum: Their cost in USD.
    """

    executions: int
    successes: int
    duration_count: int
    duration_sum: float
    cost_count: int
    cost_sum: float


@dataclass(frozen=True)
class Score:
    """How unusual a figure of an hour is.

    Attributes:
        metric: ``volume``, ``success_rate``, ``duration`` or ``cost``.
        z: The robust z score; None if there is too little to compare with.
        value: The figure itself: executions, a rate, mean seconds or mean USD.
        usual: The median of the hours alike.
        samples: From how many executions the figure is.
    """

    metric: str
    z: float | None
    value: float | None
    usual: float | None
    samples: int


def scores(now: Hour, alike: Iterable[Hour], min_samples: int) -> list[Score]:
    """Compare an hour with those alike.

    Args:
        now: The hour.
        alike: The hours that it should be like.
        min_samples: A rate or a mean of fewer executions is not compared.
    """
    before = list(alike)
    return [
        _score(
            "volume",
            now.executions,
            now.executions,
            [hour.executions for hour in before],
            scale=lambda value: 2 * math.sqrt(value + 3 / 8),
            chance=1.0,
        ),
        _score(
            "success_rate",
            _mean(now.successes, now.executions, min_samples),
            now.executions,
            _means((hour.successes, hour.executions) for hour in before),
            scale=lambda value: 2 * math.asin(math.sqrt(min(max(value, 0.0), 1.0))),
            chance=1 / math.sqrt(max(now.executions, 1)),
        ),
        _score(
            "duration",
            _mean(now.duration_sum, now.duration_count, min_samples),
            now.duration_count,
            _means((hour.duration_sum, hour.duration_count) for hour in before),
            scale=_logarithm,
            chance=_SCATTER_OF_MEANS,
        ),
        _score(
            "cost",
            _mean(now.cost_sum, now.cost_count, min_samples),
            now.cost_count,
            _means((hour.cost_sum, hour.cost_count) for hour in before),
            scale=_logarithm,
            chance=_SCATTER_OF_MEANS,
        ),
    ]


def _score(
    metric: str,
    value: float | None,
    samples: int,
    before: Sequence[float],
    *,
    scale: Callable[[float], float],
    chance: float,
) -> Score:
    if value is None or len(before) < _FEWEST_HOURS:
        return Score(metric, None, value, None, samples)
    scaled = [scale(one) for one in before]
    middle = median(scaled)
    scatter = max(_TO_SIGMA * median(abs(one - middle) for one in scaled), chance)
    return Score(metric, (scale(value) - middle) / scatter, value, median(before), samples)


def _mean(total: float, count: int, min_samples: int) -> float | None:
    return total / count if count >= max(min_samples, 1) else None


def _means(parts: Iterable[tuple[float, int]]) -> list[float]:
    return [total / count for total, count in parts if count]


def _logarithm(value: float) -> float:
    return math.log(max(value, 1e-9))
