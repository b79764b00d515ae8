"""Traffic: made-up executions in steps of five minutes, and what is measured of them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dbmon_pipeline.core.alerting.verdicts import Alert
from dbmon_pipeline.core.common.instants import DAY, HOUR, hour_floor
from dbmon_pipeline.core.common.rows import Rows
from dbmon_pipeline.core.query.answers import ReaderInfo
from dbmon_pipeline.core.query.ranges import TimeRange

STEP = timedelta(minutes=5)
"""How finely traffic is made, and how often it is judged."""
MONDAY = datetime(2026, 3, 2)
TIERS = ("small", "medium", "large")

_USD_PER_TOKEN = np.array((8e-7, 4e-6, 2e-5))
_TYPICAL_SECONDS = np.array((20, 90, 250))
_SLOW_SECONDS = 600
_HOURS_DIFFER = 0.1
"""The coefficient of variation of an hour's traffic beyond that of a Poisson process."""
_COSTS_DIFFER = 0.5
"""The standard deviation of the logarithm of an execution's cost over its estimate."""
_DURATIONS_DIFFER = 0.6
"""The same of its duration over what is typical."""

Numbers = NDArray[np.float64]
Measures = Mapping[str, Numbers]
"""Sums by tier and step."""


@dataclass(frozen=True, kw_only=True)
class Incident:
    """What goes wrong.

    Attributes:
        name: What it is called.
        lasting: How long it lasts.
        success: Which part of the executions succeeds; None leaves it alone.
        tiers: How many of the three tiers that is true of.
        is_silent: Whether nothing is executed.
        cost: What executions cost, as a multiple of what they usually do.
        is_creeping: Whether it gets there slowly, in a straight line.
    """

    name: str
    lasting: timedelta
    success: float | None = None
    tiers: int = len(TIERS)
    is_silent: bool = False
    cost: float = 1
    is_creeping: bool = False

    @property
    def progress(self) -> Numbers:
        """How far it has got in each of its steps, up to 1."""
        steps = self.lasting // STEP
        return np.linspace(0, 1, steps) if self.is_creeping else np.ones(steps)


@dataclass(frozen=True)
class Executions:
    """Made-up executions.

    Attributes:
        steps: How many steps they are of.
        step: The step of each.
        tier: The model tier of each, as a place in :data:`TIERS`.
        luck: The one fails whose luck, 0 to 1, is less than the chance of failing.
        seconds: How long each takes.
        estimate: What each is estimated to cost.
        cost: What it does.
    """

    steps: int
    step: NDArray[np.int64]
    tier: NDArray[np.int64]
    luck: Numbers
    seconds: Numbers
    estimate: Numbers
    cost: Numbers

    def succeed(self, success: float, incident: Incident | None = None) -> NDArray[np.bool_]:
        """Which of them succeed.

        Args:
            success: Which part of them usually does.
            incident: What goes wrong from the first step on, if anything does.
        """
        chance = np.full((len(TIERS), self.steps), success)
        if incident is not None and incident.success is not None:
            progress = incident.progress
            chance[: incident.tiers, : len(progress)] += (incident.success - success) * progress
        return self.luck >= 1 - chance[self.tier, self.step]

    def measures(self, success: float, incident: Incident | None = None) -> Measures:
        """What is added up of them; whatever fails names an error.

        Args:
            success: Which part of them usually succeeds.
            incident: What goes wrong from the first step on, if anything does.
        """
        successes = self.succeed(success, incident)
        cells = self.tier * self.steps + self.step
        ones = np.ones(len(cells))
        values: dict[str, Numbers] = {
            "executions": ones,
            "successes": successes.astype(float),
            "errors": (~successes).astype(float),
            "slow": (self.seconds > _SLOW_SECONDS).astype(float),
            "seconds": self.seconds,
            "costs": self.cost,
            "estimates": self.estimate,
            "cost_squares": self.cost**2,
            "products": self.cost * self.estimate,
            "estimate_squares": self.estimate**2,
        }
        shape = len(TIERS), self.steps
        return {
            name: np.bincount(cells, value, shape[0] * shape[1]).astype(float).reshape(shape)
            for name, value in values.items()
        }


def simulate(
    rng: np.random.Generator,
    start: datetime,
    lasting: timedelta,
    volume: float,
    incident: Incident | None = None,
    *,
    is_even: bool = False,
) -> Executions:
    """Make executions.

    Args:
        rng: The chance.
        start: When they begin.
        lasting: For how long.
        volume: How many there are in an hour, on average over a week.
        incident: What goes wrong from the beginning on, if anything does.
        is_even: Whether all hours are equally busy, rather than working hours busier than nights.
    """
    steps = lasting // STEP
    expected = np.full(steps, volume * (STEP / HOUR))
    if not is_even:
        expected *= _busyness(rng, start, steps)
    factor = np.ones(steps)
    if incident is not None:
        progress = incident.progress
        factor[: len(progress)] += (incident.cost - 1) * progress
        if incident.is_silent:
            expected[: len(progress)] = 0
    counts = rng.poisson(expected / len(TIERS), (len(TIERS), steps))
    cells = np.repeat(np.arange(counts.size), counts.ravel())
    tier, step = cells // steps, cells % steps
    size = len(cells)
    complexity = 1 + np.floor(10 * rng.random(size) ** 1.4)
    tokens = 1500 * complexity * np.exp(0.5 * rng.standard_normal(size))
    estimate = tokens * _USD_PER_TOKEN[tier]
    spread = _COSTS_DIFFER * rng.standard_normal(size) - _COSTS_DIFFER**2 / 2
    effort = (0.6 + 0.08 * complexity) * np.exp(_DURATIONS_DIFFER * rng.standard_normal(size))
    return Executions(
        steps=steps,
        step=step,
        tier=tier,
        luck=rng.random(size),
        seconds=_TYPICAL_SECONDS[tier] * effort,
        estimate=estimate,
        cost=estimate * factor[step] * np.exp(spread),
    )


def _busyness(rng: np.random.Generator, start: datetime, steps: int) -> Numbers:
    """How busy each step is, 1 on average: working hours are busier, and no two hours are alike."""
    hours = ((start - MONDAY) // STEP + np.arange(steps)) // (HOUR // STEP)
    of_day, weekday = hours % 24, hours // 24 % 7
    is_day = (of_day >= 6) & (of_day <= 20)
    is_work = (of_day >= 8) & (of_day <= 17)
    weight = np.where(is_work, 10, np.where(is_day, 7, 4)) * np.where(weekday > 4, 1, 2)
    mean_weight = (10 * 10 + 5 * 7 + 9 * 4) / 24 * 12 / 7
    shape = _HOURS_DIFFER**-2
    unlike = rng.gamma(shape, 1 / shape, hours[-1] - hours[0] + 1)[hours - hours[0]]
    return np.asarray(weight / mean_weight * unlike)


class Simulated:
    """Made-up traffic as of one instant after another, for :func:`evaluate`.

    Attributes:
        about: What the figures are about, at the instant that it speaks for.
    """

    def __init__(self, start: datetime, *parts: Measures) -> None:
        """Keep traffic.

        Args:
            start: When its first step begins.
            parts: Its measures, one stretch after the other.
        """
        self._start = start
        self._sums = {name: _running([part[name] for part in parts]) for name in parts[0]}
        self._troubled: set[datetime] = set()
        self._hours_alike = cache(self._alike)
        self.speak_for(start)

    def speak_for(self, at: datetime) -> None:
        """Speak for an instant, up to which everything had been read."""
        self.about = ReaderInfo(
            path=Path(),
            as_of=at,
            data_through=at,
            published_at=None,
            executions=int(self._sum("executions", "all", self._start, at)),
            schema_version=None,
            source_bytes=0,
        )

    def measure(
        self, name: str, length: timedelta, end: datetime, **values: str | float | None
    ) -> Rows:
        """As the SELECT of ``sql/checks`` does."""
        start = end - length if length <= DAY else hour_floor(end - length)
        return Rows((), [*self._rows(name, start, end, by_tier=values.get("by") is not None)])

    def samples(self, time_range: TimeRange) -> int:
        """How many executions a range has."""
        end = self.about.as_of
        return int(self._sum("executions", "all", end - time_range.length, end))

    def hours_beyond_limit(self, start: datetime, end: datetime) -> frozenset[datetime]:
        """The hours of a stretch in which a rule was beyond a limit."""
        return frozenset(hour for hour in self._troubled if start <= hour < end)

    def remember(self, alerts: Iterable[Alert]) -> None:
        """Remember whether a rule is beyond a limit, as the history of the checks does."""
        if any(alert.verdict.badness > 0 for alert in alerts):
            self._troubled.add(hour_floor(self.about.as_of))

    def _rows(
        self, name: str, start: datetime, end: datetime, *, by_tier: bool
    ) -> Iterator[tuple[object, ...]]:
        match name:
            case "recent_executions":
                count = int(self._sum("executions", "all", start, end))
                yield "all", float(count), count
            case "last_hour":
                yield self._hour(start, end)
            case "hours_alike":
                for hour, figures in self._hours_alike(hour_floor(end - HOUR / 2), start):
                    yield hour, *figures
            case "usual_executions":
                alike = self._hours_alike(hour_floor(end - HOUR / 2), start)
                counts = [executions for _, (executions, *_) in alike]
                yield statistics.fmean(counts), statistics.variance(counts), len(counts)
            case _:
                for scope in TIERS if by_tier else ("all",):
                    count = int(self._sum("executions", scope, start, end))
                    if count:
                        yield scope, *self._value(name, scope, start, end, count)

    def _value(
        self, name: str, scope: str, start: datetime, end: datetime, count: int
    ) -> tuple[object, ...]:
        def total(measure: str) -> float:
            return self._sum(measure, scope, start, end)

        match name:
            case "success_rate":
                return total("successes") / count, count
            case "error_rate":
                return total("errors") / count, count
            case "slow_executions":
                return total("slow") / count, count
            case "cost_drift":
                estimates = total("estimates")
                value = total("costs") / estimates
                squares = total("cost_squares") - 2 * value * total("products")
                squares += value * value * total("estimate_squares")
                return value, count, max(squares, 0) ** 0.5 / estimates
        raise ValueError(name)

    def _sum(self, measure: str, scope: str, since: datetime, until: datetime) -> float:
        sums = self._sums[measure][scope]
        return sums[(until - self._start) // STEP] - sums[max((since - self._start) // STEP, 0)]

    def _hour(self, start: datetime, end: datetime) -> tuple[float, ...]:
        executions, successes, seconds, cost = (
            self._sum(name, "all", start, end)
            for name in ("executions", "successes", "seconds", "costs")
        )
        return executions, successes, executions, seconds, executions, cost

    def _alike(
        self, last_hour: datetime, since: datetime
    ) -> Sequence[tuple[datetime, tuple[float, ...]]]:
        first_hour = max(since, self._start)
        while not self._sum("executions", "all", first_hour, first_hour + HOUR):
            first_hour += HOUR
        hours = (
            last_hour - timedelta(weeks=weeks) + shift * HOUR
            for weeks, shift in product(range(1, 9), (-1, 0, 1))
        )
        return [(hour, self._hour(hour, hour + HOUR)) for hour in hours if hour >= first_hour]


def _running(parts: Sequence[Numbers]) -> Mapping[str, Sequence[float]]:
    """Sums by scope: of all steps before one, for each and for the end."""
    tiers = np.concatenate(parts, axis=1)
    scopes = {"all": tiers.sum(axis=0), **dict(zip(TIERS, tiers, strict=True))}
    return {name: [0.0, *np.cumsum(steps).tolist()] for name, steps in scopes.items()}
