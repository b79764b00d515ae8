"""The bench of the alerts: what they say of healthy months, and how soon they find an incident.

``python -m dbmon_pipeline_tests.benchmarks.alert_quality`` prints tables and goals. The traffic is
simulated in steps of five minutes; it is judged every five minutes by the product's own
:func:`evaluate` with the shipped rules, through a reader that has sums instead of a database. The
same ``--seed`` and ``--trials`` give the same figures.

A warning is an incident that fired, however bad it was; a critical is one that became critical.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from dbmon_pipeline.core.config import MonitoringConfig, load_config
from dbmon_pipeline.core.evaluate import evaluate
from dbmon_pipeline.core.files import shipped
from dbmon_pipeline.core.instants import DAY, HOUR, hour_floor
from dbmon_pipeline.core.queries import About, Reader
from dbmon_pipeline.core.ranges import TimeRange
from dbmon_pipeline.core.rows import Rows
from dbmon_pipeline.core.rule_config import Rule
from dbmon_pipeline.core.rules import Alert, Verdict

STEP = timedelta(minutes=5)
"""How often it is evaluated, and how finely traffic is simulated."""

VOLUMES = (1, 6, 60, 600)
"""Executions an hour, on average over a week."""

_MODES = ("confident", "raw")
_MONTH = 30 * DAY
_MONDAY = datetime(2026, 3, 2)
_HISTORY = timedelta(weeks=8, hours=3)
"""How much traffic lies before what is judged, for what is usual at an hour of the week."""
_WARM_UP = timedelta(minutes=30)
_AFTERWARDS = HOUR
"""For so long after its end an incident may still be found."""
_TAIL = timedelta(hours=26)
"""For so long after its end it is seen whether its alerts end."""
_SOON = 30
"""Minutes."""
_TRIALS_A_MONTH = 25
"""For so many trials of each incident there is one healthy month."""
_TRIALS_A_CREEP = 5
"""For so many trials of another incident there is one of ten days."""

_TIERS = ("small", "medium", "large")
_USD_PER_TOKEN = (8e-7, 4e-6, 2e-5)
_SUCCESS = 0.92
_TYPED_FAILURES = 0.02
_MANY_TYPED_FAILURES = 0.08
_HOURS_DIFFER = 0.1
"""The coefficient of variation of an hour's traffic beyond that of a Poisson process."""
_COSTS_DIFFER = 0.5
"""The standard deviation of the logarithm of an execution's cost over its estimate."""

_REMARKS: Mapping[str, Mapping[str, str]] = {
    "success_rate by tier": {"by": "model_tier"},
    "error_rate at 92 %": {},
}
"""Lines beside those of the shipped rules, and what their rules have besides."""
_LINES = (
    *("success_rate", "success_rate by tier", "error_rate", "error_rate at 92 %"),
    *("recent_executions", "cost_drift"),
)
"""In the order of the tables."""

Numbers = NDArray[np.float64]
Sums = Mapping[str, Mapping[str, Sequence[float]]]
"""By measure and scope: the sum over all steps before one, and over all of them."""


@dataclass(frozen=True, kw_only=True)
class Incident:
    """What goes wrong.

    Attributes:
        name: What it is called.
        lasting: How long it lasts.
        lines: The lines of the table whose rules ought to find it.
        success: Which part of the executions succeeds, and names no error; None leaves it alone.
        tiers: How many of the three tiers that is true of.
        is_silent: Whether nothing is executed.
        cost: What executions cost in the end, as a multiple of the estimate.
        is_creeping: Whether the cost gets there slowly.
    """

    name: str
    lasting: timedelta
    lines: tuple[str, ...]
    success: float | None = None
    tiers: int = 3
    is_silent: bool = False
    cost: float = 1
    is_creeping: bool = False


_RATE_LINES = ("success_rate", "success_rate by tier", "error_rate")
_HALF = "success 92 -> 50 %, 2 h"

INCIDENTS = (
    Incident(name="success 92 -> 60 %, 2 h", lasting=2 * HOUR, lines=_RATE_LINES, success=0.6),
    Incident(name=_HALF, lasting=2 * HOUR, lines=_RATE_LINES, success=0.5),
    Incident(
        name="one tier of three 20 %, 2 h",
        lasting=2 * HOUR,
        lines=_RATE_LINES,
        success=0.2,
        tiers=1,
    ),
    Incident(name="silence, 3 h", lasting=3 * HOUR, lines=("recent_executions",), is_silent=True),
    Incident(name="cost x2, 6 h", lasting=6 * HOUR, lines=("cost_drift",), cost=2),
    Incident(
        name="cost x1 -> x2, 10 d",
        lasting=10 * DAY,
        lines=("cost_drift",),
        cost=2,
        is_creeping=True,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Month:
    """What a rule said of a healthy month."""

    line: str
    mode: str
    volume: int
    warnings: int
    criticals: int


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a rule said of an incident.

    Attributes:
        incident: Its name.
        line: The line of the table.
        mode: The mode of the rule.
        volume: Executions an hour.
        delay: Minutes until an alert fired; None if none did.
        critical_delay: Minutes until one was critical.
        open_after: Minutes from the end of the incident until its alerts were over.
    """

    incident: str
    line: str
    mode: str
    volume: int
    delay: float | None
    critical_delay: float | None
    open_after: float | None


class Simulated(Reader):
    """A reader of simulated traffic."""

    def __init__(self, start: datetime, sums: Sums) -> None:
        """Read sums whose first step begins at an instant."""
        self._start = start
        self._sums = sums
        self.speak_for(start)

    def speak_for(self, as_of: datetime) -> None:
        """Speak for an instant, up to which everything has been read."""
        self.about = About(
            path=Path(),
            as_of=as_of,
            data_through=as_of,
            published_at=None,
            executions=1,
            schema_version=None,
            source_bytes=0,
        )

    def measure(
        self, name: str, length: timedelta, end: datetime, **values: str | float | None
    ) -> Rows:
        """As the SQL of ``sql/checks`` does."""
        if name == "usual_executions":
            return Rows((), [self._usual(end)])
        if name == "recent_executions":
            count = int(self._sum("executions", "all", end - length, end))
            return Rows((), [("all", float(count), count)])
        row = self._cost if name == "cost_drift" else partial(self._rate, name)
        scopes = ("all",) if values["by"] is None else _TIERS
        found = (row(scope, end - length, end) for scope in scopes)
        return Rows((), [row for row in found if row])

    def samples(self, time_range: TimeRange) -> int:
        """How many executions a range has."""
        end = self.about.as_of
        return int(self._sum("executions", "all", end - time_range.length, end))

    def _sum(self, measure: str, scope: str, since: datetime, until: datetime) -> float:
        sums = self._sums[measure][scope]
        return sums[(until - self._start) // STEP] - sums[max((since - self._start) // STEP, 0)]

    def _rate(
        self, name: str, scope: str, since: datetime, until: datetime
    ) -> tuple[object, ...] | None:
        count = int(self._sum("executions", scope, since, until))
        part = "successes" if name == "success_rate" else "errors"
        return (scope, self._sum(part, scope, since, until) / count, count) if count else None

    def _cost(self, scope: str, since: datetime, until: datetime) -> tuple[object, ...] | None:
        def total(measure: str) -> float:
            return self._sum(measure, scope, since, until)

        count, estimates = int(total("executions")), total("estimates")
        if not count:
            return None
        value = total("actuals") / estimates
        squares = total("actual_squares") - 2 * value * total("products")
        squares += value * value * total("estimate_squares")
        return scope, value, count, max(squares, 0) ** 0.5 / estimates

    def _usual(self, end: datetime) -> tuple[object, ...]:
        last_hour, first_hour = hour_floor(end - HOUR / 2), self._first_hour(end)
        counts = [
            self._sum("executions", "all", hour, hour + HOUR)
            for weeks, shift in product(range(1, 9), (-1, 0, 1))
            if (hour := last_hour - timedelta(weeks=weeks) + shift * HOUR) >= first_hour
        ]
        return statistics.fmean(counts), statistics.variance(counts), len(counts)

    def _first_hour(self, end: datetime) -> datetime:
        """The first hour with an execution, of those that are looked at."""
        hour = max(hour_floor(end - timedelta(weeks=8, hours=2)), self._start)
        while not self._sum("executions", "all", hour, hour + HOUR):
            hour += HOUR
        return hour


@dataclass
class _Fired:
    """An incident that fired: when, since when it was critical, and when it was over."""

    at: datetime
    critical_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass
class _Watched:
    """One scope of one rule: its incidents, moved on as ``core/incidents.py`` does."""

    evaluations: int
    counter: int = 0
    fired: list[_Fired] = field(default_factory=list)

    @property
    def is_firing(self) -> bool:
        """Whether one is open and not just pending."""
        return bool(self.fired) and self.fired[-1].ended_at is None

    def observe(self, alert: Alert, at: datetime) -> None:
        """Take a verdict in."""
        if alert.verdict is Verdict.INSUFFICIENT_DATA:
            return
        if alert.verdict is Verdict.OK:
            self._good(alert, at)
            return
        self.counter = 0 if self.is_firing else self.counter + 1
        if self.counter >= self.evaluations:
            self.fired.append(_Fired(at))
            self.counter = 0
        is_critical = alert.verdict is Verdict.CRITICAL
        if self.is_firing and is_critical and self.fired[-1].critical_at is None:
            self.fired[-1].critical_at = at

    def _good(self, alert: Alert, at: datetime) -> None:
        if not self.is_firing or not alert.is_recovered:
            self.counter = 0
            return
        self.counter += 1
        if self.counter >= self.evaluations:
            self.fired[-1].ended_at = at
            self.counter = 0


class _Watch:
    """The rules of some lines over some traffic."""

    def __init__(self, lines: Iterable[str], reader: Simulated) -> None:
        self._reader = reader
        rules = {f"{line}, {mode}": _rule(line, mode) for line, mode in _keys(lines)}
        self._config = MonitoringConfig(rules=rules)
        self._watched: dict[str, dict[str, _Watched]] = {name: {} for name in rules}

    def look(self, at: datetime) -> None:
        """Evaluate as of an instant."""
        self._reader.speak_for(at)
        for alert in evaluate(self._reader, self._config):
            scopes = self._watched[alert.rule]
            if alert.scope not in scopes:
                scopes[alert.scope] = _Watched(self._config.rules[alert.rule].evaluations)
            scopes[alert.scope].observe(alert, at)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is firing."""
        watched = (one for scopes in self._watched.values() for one in scopes.values())
        return not any(one.is_firing for one in watched)

    def fired(self, line: str, mode: str) -> list[_Fired]:
        """The incidents of a rule, of all its scopes."""
        scopes = self._watched[f"{line}, {mode}"].values()
        return [fired for watched in scopes for fired in watched.fired]


@cache
def _shipped_rules() -> Mapping[str, Rule]:
    return load_config(shipped("config", "monitoring.yaml")).rules


def _keys(lines: Iterable[str]) -> list[tuple[str, str]]:
    """Lines and their modes; that by tier is judged confidently alone, to save time."""
    return [
        (line, mode)
        for line, mode in product(lines, _MODES)
        if mode == "confident" or "by" not in _REMARKS.get(line, {})
    ]


def _rule(line: str, mode: str) -> Rule:
    """The shipped rule of a line, in a mode."""
    measurement = line.split()[0]
    given = {"measurement": measurement, "mode": mode, **_REMARKS.get(line, {})}
    return msgspec.structs.replace(_shipped_rules()[measurement], **given)


@dataclass(frozen=True)
class _Span:
    """A stretch of traffic.

    Attributes:
        start: When it begins.
        steps: How many steps it has.
        broken: Those in which something is wrong.
    """

    start: datetime
    steps: int
    broken: slice


def _expected(rng: np.random.Generator, span: _Span, volume: float) -> Numbers:
    """How many executions each step has on average: working hours are busier, no two are alike."""
    hours = ((span.start - _MONDAY) // STEP + np.arange(span.steps)) // (HOUR // STEP)
    of_day, weekday = hours % 24, hours // 24 % 7
    is_day = (of_day >= 6) & (of_day <= 20)
    is_work = (of_day >= 8) & (of_day <= 17)
    weight = np.where(is_work, 10, np.where(is_day, 7, 4)) * np.where(weekday > 4, 1, 2)
    mean_weight = (10 * 10 + 5 * 7 + 9 * 4) / 24 * 12 / 7
    shape = _HOURS_DIFFER**-2
    unlike = rng.gamma(shape, 1 / shape, hours[-1] - hours[0] + 1)[hours - hours[0]]
    return np.asarray(volume * (STEP / HOUR) * weight / mean_weight * unlike)


def _executions(
    rng: np.random.Generator, span: _Span, volume: float, *, is_silent: bool = False
) -> NDArray[np.int64]:
    """How many executions each tier has in each step."""
    expected = _expected(rng, span, volume)
    if is_silent:
        expected[span.broken] = 0
    shape = (len(_TIERS), span.steps)
    return rng.poisson(expected / len(_TIERS), shape).astype(np.int64)


def _part(
    rng: np.random.Generator, executions: NDArray[np.int64], usual: float, chance: Numbers | float
) -> Numbers:
    """How many of the executions have something that is usual, but where a chance is given."""
    chances = np.where(np.isnan(chance), usual, chance)
    return rng.binomial(executions, chances).astype(float)


def _broken(span: _Span, success: float | None, tiers: int) -> Numbers:
    """The success that an incident leaves, by tier and step; NaN where it leaves it alone."""
    left = np.full((len(_TIERS), span.steps), np.nan)
    if success is not None:
        left[:tiers, span.broken] = success
    return left


def _costs(
    rng: np.random.Generator, executions: NDArray[np.int64], factor: Numbers
) -> dict[str, Numbers]:
    """What the executions cost and were estimated to, in sums by tier and step."""
    steps = executions.shape[1]
    cells = np.repeat(np.arange(executions.size), executions.ravel())
    count = len(cells)
    complexity = 1 + np.floor(10 * rng.random(count) ** 1.4)
    tokens = 1500 * complexity * np.exp(0.5 * rng.standard_normal(count))
    estimate = tokens * np.asarray(_USD_PER_TOKEN)[cells // steps]
    spread = _COSTS_DIFFER * rng.standard_normal(count) - _COSTS_DIFFER**2 / 2
    actual = estimate * factor[cells % steps] * np.exp(spread)
    values = {
        "actuals": actual,
        "estimates": estimate,
        "actual_squares": actual * actual,
        "products": actual * estimate,
        "estimate_squares": estimate * estimate,
    }
    return {name: _added(cells, value, executions.shape) for name, value in values.items()}


def _added(cells: NDArray[np.int64], values: Numbers, shape: tuple[int, ...]) -> Numbers:
    """The sums of the values in each cell."""
    return np.bincount(cells, values, math.prod(shape)).astype(float).reshape(shape)


def _sums(measures: Mapping[str, Numbers]) -> Sums:
    """Running sums by measure and scope, from counts by tier and step."""

    def running(steps: Numbers) -> list[float]:
        return [0.0, *np.cumsum(steps, dtype=float).tolist()]

    return {
        name: {
            "all": running(tiers.sum(axis=0)),
            **dict(zip(_TIERS, map(running, tiers), strict=True)),
        }
        for name, tiers in measures.items()
    }


def _instants(first: datetime, last: datetime) -> Iterator[datetime]:
    """Each step from one instant to another, both included."""
    return (first + step * STEP for step in range((last - first) // STEP + 1))


def healthy_month(seed: tuple[int, ...], volume: int) -> list[Month]:
    """What the rules say of a healthy month."""
    rng = np.random.default_rng(seed)
    span = _Span(_MONDAY - _HISTORY, (_HISTORY + _MONTH) // STEP, slice(0))
    executions = _executions(rng, span, volume)
    untouched = float("nan")
    measures = {
        "executions": executions.astype(float),
        "successes": _part(rng, executions, _SUCCESS, untouched),
        "errors": _part(rng, executions, _TYPED_FAILURES, untouched),
        **_costs(rng, executions, np.ones(span.steps)),
    }
    many = {"errors": _part(rng, executions, _MANY_TYPED_FAILURES, untouched)}
    lines = ("success_rate", "success_rate by tier", "error_rate", "recent_executions")
    watches = {
        (*lines, "cost_drift"): Simulated(span.start, _sums(measures)),
        ("error_rate at 92 %",): Simulated(span.start, _sums(measures | many)),
    }
    return [
        month
        for names, reader in watches.items()
        for month in _months(names, _Watch(names, reader), volume)
    ]


def _months(lines: Sequence[str], watch: _Watch, volume: int) -> list[Month]:
    for at in _instants(_MONDAY, _MONDAY + _MONTH):
        watch.look(at)
    return [
        Month(
            line=line,
            mode=mode,
            volume=volume,
            warnings=len(fired),
            criticals=sum(one.critical_at is not None for one in fired),
        )
        for line, mode in _keys(lines)
        for fired in [watch.fired(line, mode)]
    ]


def trials(seed: tuple[int, ...], number: int, incident: Incident, volume: int) -> list[Trial]:
    """What the rules say of an incident, so many times, each at another instant of the week."""
    return [
        trial
        for repetition in range(number)
        for trial in _trial(np.random.default_rng((*seed, repetition)), incident, volume)
    ]


def _trial(rng: np.random.Generator, incident: Incident, volume: int) -> list[Trial]:
    start = _MONDAY + int(rng.integers(timedelta(weeks=1) // STEP)) * STEP
    end = start + incident.lasting
    watch = _Watch(incident.lines, _incident_traffic(rng, incident, volume, start))
    for at in _instants(start - _WARM_UP, end + _AFTERWARDS):
        watch.look(at)
    for at in _instants(end + _AFTERWARDS + STEP, end + _TAIL):
        if watch.is_quiet:
            break
        watch.look(at)
    return [
        Trial(
            incident=incident.name,
            line=line,
            mode=mode,
            volume=volume,
            delay=_minutes(start, end, [one.at for one in fired]),
            critical_delay=_minutes(start, end, [one.critical_at for one in fired]),
            open_after=_open_after(start, end, fired),
        )
        for line, mode in _keys(incident.lines)
        for fired in [watch.fired(line, mode)]
    ]


def _incident_traffic(
    rng: np.random.Generator, incident: Incident, volume: int, start: datetime
) -> Simulated:
    before = _HISTORY + HOUR if incident.is_silent else DAY + HOUR
    first, steps = before // STEP, incident.lasting // STEP
    broken = slice(first, first + steps)
    span = _Span(start - before, (before + incident.lasting + _TAIL) // STEP, broken)
    executions = _executions(rng, span, volume, is_silent=incident.is_silent)
    left = _broken(span, incident.success, incident.tiers)
    measures = {
        "executions": executions.astype(float),
        "successes": _part(rng, executions, _SUCCESS, left),
        "errors": _part(rng, executions, _TYPED_FAILURES, 1 - left),
    }
    if incident.cost > 1:
        factor = np.ones(span.steps)
        factor[broken] = (
            np.linspace(1, incident.cost, steps) if incident.is_creeping else (incident.cost)
        )
        measures |= _costs(rng, executions, factor)
    return Simulated(span.start, _sums(measures))


def _is_found(at: datetime | None, start: datetime, end: datetime) -> bool:
    return at is not None and start < at <= end + _AFTERWARDS


def _minutes(start: datetime, end: datetime, instants: Iterable[datetime | None]) -> float | None:
    """Minutes until the first of some instants, of those within an incident or soon after."""
    found = [at for at in instants if at is not None and _is_found(at, start, end)]
    return (min(found) - start) / timedelta(minutes=1) if found else None


def _open_after(start: datetime, end: datetime, fired: Iterable[_Fired]) -> float | None:
    """Minutes from the end of an incident until what had found it was over."""
    found = [one.ended_at or end + _TAIL for one in fired if _is_found(one.at, start, end)]
    return max(0.0, (max(found) - end) / timedelta(minutes=1)) if found else None


@dataclass(frozen=True)
class _Job:
    """What one process does at a time."""

    what: Incident | None
    volume: int
    seed: tuple[int, ...]
    number: int

    def __call__(self) -> list[Month] | list[Trial]:
        """Do it."""
        if self.what is None:
            return healthy_month(self.seed, self.volume)
        return trials(self.seed, self.number, self.what, self.volume)


def _jobs(seed: int, number: int) -> Iterator[_Job]:
    """All that is to be done, the longest first."""
    for month, volume in product(range(max(2, number // _TRIALS_A_MONTH)), reversed(VOLUMES)):
        yield _Job(None, volume, (seed, 0, volume, month), 1)
    for place, incident in reversed([*enumerate(INCIDENTS, 1)]):
        share = _TRIALS_A_CREEP if incident.is_creeping else 1
        for volume in reversed(VOLUMES):
            yield _Job(incident, volume, (seed, place, volume), max(1, number // share))


def _measure(seed: int, number: int) -> tuple[list[Month], list[Trial]]:
    months: list[Month] = []
    found: list[Trial] = []
    jobs = [*_jobs(seed, number)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for results in pool.map(_Job.__call__, jobs):
            months += [result for result in results if isinstance(result, Month)]
            found += [result for result in results if isinstance(result, Trial)]
    return months, found


Row = dict[str, str | float | None]


def _month_rows(months: Iterable[Month]) -> Iterator[Row]:
    """The figures of the healthy months, by rule, mode and volume."""
    for (line, mode, volume), group in _grouped(
        months, lambda month: (month.line, month.mode, month.volume)
    ):
        warnings = [month.warnings for month in group]
        criticals = [month.criticals for month in group]
        yield {
            "rule": line,
            "mode": mode,
            "per_hour": volume,
            "months": len(group),
            "warnings_mean": statistics.fmean(warnings),
            "warnings_worst": max(warnings),
            "criticals_mean": statistics.fmean(criticals),
            "criticals_worst": max(criticals),
        }


def _trial_rows(found: Iterable[Trial]) -> Iterator[Row]:
    """The figures of the incidents, by incident, rule, mode and volume."""
    for (incident, line, mode, volume), group in _grouped(
        found, lambda trial: (trial.incident, trial.line, trial.mode, trial.volume)
    ):
        delays = [trial.delay for trial in group if trial.delay is not None]
        open_after = [trial.open_after for trial in group if trial.open_after is not None]
        yield {
            "incident": incident,
            "rule": line,
            "mode": mode,
            "per_hour": volume,
            "trials": len(group),
            "detected": len(delays) / len(group),
            "critical": sum(trial.critical_delay is not None for trial in group) / len(group),
            "delay_minutes": statistics.median(delays) if delays else None,
            "soon": sum(delay <= _SOON for delay in delays) / len(group),
            "open_after_minutes": statistics.median(open_after) if open_after else None,
        }


Result = TypeVar("Result")
Key = TypeVar("Key", bound=tuple[str | int, ...])


def _grouped(
    results: Iterable[Result], key: Callable[[Result], Key]
) -> Iterable[tuple[Key, list[Result]]]:
    """Results by key, in the order of the tables."""
    groups: dict[Key, list[Result]] = defaultdict(list)
    for result in results:
        groups[key(result)].append(result)
    return sorted(groups.items(), key=lambda item: [*map(_place, item[0])])


def _place(part: str | int) -> int:
    """Where something stands in the tables."""
    names = [incident.name for incident in INCIDENTS]
    return part if isinstance(part, int) else [*names, *_LINES, *_MODES].index(part)


def _goals(months: Sequence[Row], found: Sequence[Row]) -> list[tuple[str, bool, str]]:
    """What is hoped for: in words, whether it is so, and the figure."""
    judged = [row for row in months if row["mode"] == "confident" and row["rule"] not in _REMARKS]
    [half] = [
        row
        for row in found
        if (row["incident"], row["rule"], row["mode"], row["per_hour"])
        == (_HALF, "success_rate", "confident", 60)
    ]
    criticals, warnings = _worst(judged, "criticals_worst"), _worst(judged, "warnings_worst")
    soon = float(half["soon"] or 0)
    return [
        ("confident: no false critical in any healthy month", criticals[0] == 0, criticals[1]),
        ("confident: at most 2 false warnings in any month", warnings[0] <= 2, warnings[1]),
        (
            f"confident: {_HALF} at 60/h found within {_SOON} min in at least 95 %",
            soon >= 0.95,
            f"{soon:.1%} of {half['trials']}",
        ),
    ]


def _worst(rows: Iterable[Row], column: str) -> tuple[float, str]:
    """The highest figure of a column, in words, too."""
    row = max(rows, key=lambda row: float(row[column] or 0))
    highest = float(row[column] or 0)
    where = f", {row['rule']} at {row['per_hour']}/h" if highest else ""
    return highest, f"{highest:g} at the worst{where}"


def _tables(months: Iterable[Row], found: Iterable[Row]) -> Iterator[str]:
    """Both tables, line by line."""
    yield f"{'healthy months':24}{'':11}{'':>6}{'warnings in 30 d':>18}{'criticals in 30 d':>19}"
    yield f"{'rule':24}{'mode':11}{'per h':>6}{'mean':>10}{'worst':>8}{'mean':>11}{'worst':>8}"
    for row in months:
        yield (
            f"{row['rule']:24}{row['mode']:11}{row['per_hour']:6}"
            f"{row['warnings_mean']:10.1f}{row['warnings_worst']:8}"
            f"{row['criticals_mean']:11.1f}{row['criticals_worst']:8}"
        )
    yield ""
    yield (
        f"{'incident':28}{'rule':22}{'mode':11}{'per h':>6}{'found':>7}{'critical':>10}"
        f"{'delay':>8}{f'in {_SOON} min':>11}{'open after':>12}"
    )
    for row in found:
        yield (
            f"{row['incident']:28}{row['rule']:22}{row['mode']:11}{row['per_hour']:6}"
            f"{row['detected']:7.0%}{row['critical']:10.0%}{_told(row['delay_minutes']):>8}"
            f"{row['soon']:11.0%}{_told(row['open_after_minutes']):>12}"
        )


def _told(minutes: str | float | None) -> str:
    return "-" if minutes is None else f"{minutes:,.0f}"


def main() -> None:
    """Measure, print the tables and the goals, and write them as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="another seed, other traffic")
    parser.add_argument("--trials", type=int, default=100, help="of each incident")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    arguments = parser.parse_args()
    started = time.perf_counter()
    measured, tried = _measure(arguments.seed, arguments.trials)
    seconds = time.perf_counter() - started
    months, found = [*_month_rows(measured)], [*_trial_rows(tried)]
    goals = _goals(months, found)
    _print(f"seed {arguments.seed}, {arguments.trials} trials of each incident, {seconds:.0f} s")
    _print("delay, and for how long alerts are open after the end: medians in minutes")
    _print("")
    for line in _tables(months, found):
        _print(line)
    _print("")
    for goal, is_met, figure in goals:
        _print(f"{'met' if is_met else 'missed':8}{goal}: {figure}")
    if arguments.json:
        figures = {
            "seed": arguments.seed,
            "trials": arguments.trials,
            "seconds": seconds,
            "healthy": months,
            "incidents": found,
            "goals": [
                {"goal": goal, "is_met": is_met, "figure": figure} for goal, is_met, figure in goals
            ],
        }
        arguments.json.write_text(json.dumps(figures, indent=1))


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
