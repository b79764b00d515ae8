"""Anomalies: is the last hour unlike the same hour of the weeks before, and the hour before it too?

A robust z score: how many standard errors a figure lies from the median of the hours alike, on a
scale on which its scatter does not depend on how large it is. The scatter is the median absolute
deviation (times 1.4826, as for a normal distribution), and never less than chance alone explains:
F. J. Anscombe, The transformation of Poisson, binomial and negative-binomial data, Biometrika 35
(1948); P. J. Rousseeuw and C. Croux, Alternatives to the median absolute deviation, Journal of the
American Statistical Association 88 (1993).

Once is no anomaly: of two dozen hours the median absolute deviation is no more exact than a
standard deviation of nine, so that 0.8 % of all hours (not 0.05 %) are beyond 3.5. An evaluation
five minutes later would say the same, of mostly the same executions. So two hours that share none
must agree, and the score is that of the less unusual one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import NamedTuple

_FEWEST_HOURS = 8
_TO_SIGMA = 1.4826
_SCATTER_OF_MEANS = 0.05
"""The least scatter of the logarithm of a mean that is taken for more than chance: 5 %."""


@dataclass(frozen=True)
class Hour:
    """Figures of an hour that are compared.

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
    """Score of how unusual a figure of an hour is.

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


class _Figure(NamedTuple):
    """Figure of an hour, with the number of its executions."""

    value: float
    samples: int


def scores(now: Hour, alike: Iterable[Hour], min_samples: int) -> list[Score]:
    """Compare an hour with those alike.

    Args:
        now: The hour.
        alike: The hours that it should be like.
        min_samples: A rate or a mean of fewer executions is not compared, nor compared with.
    """
    before = list(alike)
    fewest = max(min_samples, 1)
    return [
        _score(
            "volume",
            _Figure(now.executions, now.executions),
            [_Figure(hour.executions, now.executions) for hour in before],
            scale=lambda value: 2 * math.sqrt(value + 3 / 8),
            chance=1.0,
        ),
        _score(
            "success_rate",
            _mean(now.successes, now.executions),
            [_mean(hour.successes, hour.executions) for hour in before],
            scale=lambda value: 2 * math.asin(math.sqrt(min(max(value, 0.0), 1.0))),
            chance=1 / math.sqrt(max(now.executions, 1)),
            fewest=fewest,
        ),
        _score(
            "duration",
            _mean(now.duration_sum, now.duration_count),
            [_mean(hour.duration_sum, hour.duration_count) for hour in before],
            scale=_logarithm,
            chance=_SCATTER_OF_MEANS,
            fewest=fewest,
        ),
        _score(
            "cost",
            _mean(now.cost_sum, now.cost_count),
            [_mean(hour.cost_sum, hour.cost_count) for hour in before],
            scale=_logarithm,
            chance=_SCATTER_OF_MEANS,
            fewest=fewest,
        ),
    ]


def lasting(score: Score, before: Score) -> Score:
    """Return the score, no further from 0 than that of the hour before.

    Args:
        score: That of the last hour.
        before: That of the hour before it.
    """
    if score.z is None or before.z is None:
        return replace(score, z=None)
    if score.z * before.z <= 0:
        return replace(score, z=0.0)
    return replace(score, z=min(score.z, before.z, key=abs))


def _score(
    metric: str,
    now: _Figure,
    before: Sequence[_Figure],
    *,
    scale: Callable[[float], float],
    chance: float,
    fewest: int = 0,
) -> Score:
    if now.samples < fewest:
        return Score(metric, None, None, None, now.samples)
    alike = [figure for figure in before if figure.samples >= fewest]
    if len(alike) < _FEWEST_HOURS:
        return Score(metric, None, now.value, None, now.samples)
    scaled = [scale(figure.value) for figure in alike]
    middle = median(scaled)
    scatter = _TO_SIGMA * median(abs(value - middle) for value in scaled)
    # A mean of fewer executions than usual scatters more, and the median itself is not exact.
    fewer = median(figure.samples for figure in alike) / max(now.samples, 1)
    scatter *= math.sqrt(max(fewer, 1) + math.pi / (2 * len(alike)))
    z = (scale(now.value) - middle) / max(scatter, chance)
    return Score(metric, z, now.value, median(figure.value for figure in alike), now.samples)


def _mean(total: float, count: int) -> _Figure:
    return _Figure(total / count if count else 0.0, count)


def _logarithm(value: float) -> float:
    return math.log(max(value, 1e-9))
