"""What tests of alert rules share: homes and readers, and every verdict again in plain Python.

The latter shares nothing with the product but the names of the columns and of the verdicts: the
rows are counted one by one, and limits compared by the textbook.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, cached_property
from pathlib import Path
from statistics import median
from typing import Any, Literal, get_args

import pytest
from msgspec.structs import replace

from dbmon_pipeline.core.alerting.evaluate import evaluate
from dbmon_pipeline.core.alerting.verdicts import Alert, Measured, Verdict
from dbmon_pipeline.core.config.rule import Limits, Rule, length_of
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.open_reader import opened_reader, reading
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.query.reader import Reader
from dbmon_pipeline_tests.helpers import change_source, make_source, refresh_core, settings_for

Row = dict[str, Any]
Mode = Literal["confident", "raw"]
Told = dict[tuple[str, str], Alert]
"""Alerts by rule and scope."""

AS_OF = datetime(2026, 2, 10, 13, 37, 21)
"""A Tuesday."""
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WEEK = timedelta(weeks=1)
TICK = timedelta.resolution

OK, WARNING, CRITICAL, UNKNOWN = (
    Verdict.OK,
    Verdict.WARNING,
    Verdict.CRITICAL,
    Verdict.INSUFFICIENT_DATA,
)
MODES: tuple[Mode, ...] = get_args(Mode)
RATES = ("success_rate", "error_rate", "slow_executions")
KINDS = ("published", "kept", "database")
"""What is published, that with its cells in memory, and the source itself."""
SHIPPED = Settings.load(environ={}).config.rules

_Z = {0.995: 2.5758293035489004, 0.95: 1.6448536269514722}
"""Quantiles of the normal distribution, as tables have them."""
_BURNS = (
    (1 * HOUR, 5 * MINUTE, 14.4, CRITICAL),
    (6 * HOUR, 30 * MINUTE, 6.0, CRITICAL),
    (72 * HOUR, 6 * HOUR, 1.0, WARNING),
)
"""Long window, short window, burn rate and severity, as the workbook's table has them."""


def hour_of(instant: datetime) -> datetime:
    """The full hour at or before an instant."""
    return instant.replace(minute=0, second=0, microsecond=0)


# Homes, readers and rules


def in_both_modes(rules: Mapping[str, Rule]) -> dict[str, Rule]:
    """Each rule twice, as ``NAME raw`` and ``NAME confident``."""
    return {
        f"{name} {mode}": replace(rule, measurement=rule.measurement or name, mode=mode)
        for name, rule in rules.items()
        for mode in MODES
    }


def put(path: Path, rows: list[Row]) -> None:
    """Add executions to a source, in one statement; what one leaves out is NULL."""
    names = sorted({name for row in rows for name in row})
    if rows:
        change_source(
            path,
            f"INSERT INTO executions ({', '.join(names)})"
            f" SELECT {', '.join(f'unnest(${name})' for name in names)}",
            **{name: [row.get(name) for row in rows] for name in names},
        )


def site(
    folder: Path, rows: list[Row], rules: Mapping[str, Rule], as_of: datetime | None = AS_OF
) -> Settings:
    """A source with rows and a home with rules; refreshed as of an instant, if there is one."""
    settings = settings_for(folder, rules=dict(rules))
    make_source(settings.source)
    put(settings.source, rows)
    if as_of:
        refresh_core(settings, as_of)
    return settings


@contextmanager
def opened(kind: str, settings: Settings, as_of: datetime) -> Iterator[Reader]:
    """A reader of a kind, as the faces have it."""
    if kind == "kept":
        with (
            Published(settings.home, in_memory=True) as published,
            reading(published, as_of) as reader,
        ):
            yield reader
        return
    database = settings.source if kind == "database" else None
    with opened_reader(settings.home, settings.config, as_of, database) as reader:
        yield reader


def evaluated(
    kind: str, settings: Settings, as_of: datetime, rules: Mapping[str, Rule] | None = None
) -> Told:
    """What the rules of a home, or others, say; each says one thing of a scope."""
    config = settings.config if rules is None else replace(settings.config, rules=dict(rules))
    with opened(kind, settings, as_of) as reader:
        return by_scope(evaluate(reader, config))


def by_scope(alerts: list[Alert]) -> Told:
    """Alerts by rule and scope, each of them once."""
    told = {(alert.rule, alert.scope): alert for alert in alerts}
    assert len(told) == len(alerts)
    return told


# Brute force


@dataclass(frozen=True)
class Seen:
    """What one scope has in one window, and the standard error of it if it has one."""

    value: float | None
    samples: int
    start: datetime | None = None
    end: datetime | None = None
    error: float | None = None


@dataclass(frozen=True)
class Expected:
    """What a rule should say of a scope, and of what.

    Attributes:
        verdict: The verdict.
        told: What it is said of.
        raw: The plain value.
        limits: Those of a rule that has none of its own.
        note: A part of what else it says.
    """

    verdict: Verdict
    told: Seen
    raw: Seen
    limits: Limits | None = None
    note: str = ""


@dataclass(frozen=True)
class World:
    """What there is to judge.

    Attributes:
        rows: All executions.
        end: Up to when they are known.
        source_bytes: The size of their file.
        age: For how long nothing was read since.
        hours_beyond_limit: Hours in which a rule was beyond a limit.
    """

    rows: list[Row]
    end: datetime = AS_OF
    source_bytes: int = 0
    age: timedelta = timedelta(0)
    hours_beyond_limit: frozenset[datetime] = frozenset()

    def within(self, start: datetime, end: datetime | None = None) -> list[Row]:
        """The executions of ``[start, end)``."""
        first, after = (bisect_left(self._times, at) for at in (start, end or self.end))
        return self._in_order[first:after]

    @cached_property
    def _in_order(self) -> list[Row]:
        return sorted(self.rows, key=lambda row: row["timestamp"])

    @cached_property
    def _times(self) -> list[datetime]:
        return [row["timestamp"] for row in self._in_order]


def assert_as_expected(told: Told, rules: Mapping[str, Rule], world: World) -> None:
    """Compare what rules say of every scope with brute force: nothing is missing or too much."""
    wanted = {
        (name, scope): want
        for name, rule in rules.items()
        for scope, want in expected(name, rule, world).items()
    }
    assert told.keys() == wanted.keys(), told.keys() ^ wanted.keys()
    for key, want in wanted.items():
        alert, rule = told[key], rules[key[0]]
        where = f"{alert}, expected {want}"
        assert alert.verdict is want.verdict, where
        assert _is_measured(alert.measured, want.told), where
        assert _is_measured(alert.raw, want.raw), where
        limits = want.limits or rule.limits
        judging = replace(rule, above=want.limits) if want.limits else rule
        raw_verdict = want.verdict if want.limits else compared(rule, want.raw.value)
        assert alert.raw_verdict is raw_verdict, where
        assert alert.is_recovered is _is_recovered(judging, want.told.value), where
        assert (alert.warning, alert.critical) == (limits.warning, limits.critical), where
        assert (alert.mode, alert.direction) == (rule.mode, judging.direction), where
        assert want.note in alert.note, where


def expected(name: str, rule: Rule, world: World) -> dict[str, Expected]:
    """What a rule should say, by scope."""
    match rule.measurement or name:
        case "database_size":
            size = Seen(world.source_bytes / 1e6, len(world.within(datetime.min)))
            return {"all": Expected(compared(rule, size.value), size, size)}
        case "source_freshness":
            age = Seen(world.age.total_seconds(), len(world.within(datetime.min)))
            return {"all": Expected(compared(rule, age.value), age, age)}
        case "recent_executions":
            return {"all": _silence(rule, world)}
        case "success_slo":
            return {"all": _objective(rule, world)}
        case "anomaly":
            return _anomalies(rule, world)
        case measurement if measurement in RATES and rule.mode == "confident":
            return _rates(measurement, rule, world)
        case measurement:
            seen = scopes(measurement, rule, world, length_of(rule.window))
            # A budget is blown by one execution as by many.
            fewest = 0 if measurement == "cost_budget" else rule.min_samples
            return {
                scope: Expected(_plainly(rule, one, fewest), one, one)
                for scope, one in seen.items()
            }


def scopes(measurement: str, rule: Rule, world: World, length: timedelta) -> dict[str, Seen]:
    """A measurement over the last so long, by scope; without a dimension there is always one."""
    start = world.end - length
    if measurement == "cost_budget":
        start = world.end.replace(hour=0, minute=0, second=0, microsecond=0)
    found: dict[str, list[Row]] = defaultdict(list)
    for row in world.within(start):
        found[(row[rule.by] or "unknown") if rule.by else "all"].append(row)
    if rule.by is None:
        found.setdefault("all", [])
    seen = {}
    for scope, rows in found.items():
        value, samples, error = _figure(rows, measurement, rule.target_seconds)
        # Executions without both costs have no drift, and alone they are no scope of it.
        if samples or rule.by is None or measurement != "cost_drift":
            seen[scope] = Seen(value, samples, start, world.end, error)
    return seen


def compared(rule: Rule, value: float | None) -> Verdict:
    """The verdict on a value itself."""
    if value is None:
        return UNKNOWN
    if _is_beyond(rule, value, rule.limits.critical):
        return CRITICAL
    return WARNING if _is_beyond(rule, value, rule.limits.warning) else OK


def usual(world: World, end: datetime) -> tuple[float, float, int]:
    """Mean, variance and number of the hours alike, looked up hour by hour."""
    counts = [len(rows) for rows in hours_alike(world, end).values()]
    if not counts:
        return 0.0, 0.0, 0
    mean = sum(counts) / len(counts)
    squares = sum((count - mean) ** 2 for count in counts)
    return mean, squares / (len(counts) - 1) if len(counts) > 1 else 0.0, len(counts)


def hours_alike(world: World, end: datetime) -> dict[datetime, list[Row]]:
    """The executions of each hour like the last one before an instant, from the first known on.

    The last one is the full hour in which most of the 60 minutes before the instant lie.
    """
    last = hour_of(end - 30 * MINUTE)
    wanted = [last - weeks * WEEK + shift * HOUR for weeks in range(1, 9) for shift in (-1, 0, 1)]
    oldest = hour_of(end - 8 * WEEK - 2 * HOUR)
    before = world.within(oldest, end)
    first = hour_of(before[0]["timestamp"]) if before else datetime.max
    return {hour: world.within(hour, hour + HOUR) for hour in sorted(wanted) if hour >= first}


def is_sure(rule: Rule, seen: Seen, limit: float) -> bool:
    """Whether a score test, corrected for continuity, refuses that the true rate is as good."""
    assert seen.value is not None
    distance = limit - seen.value if rule.below else seen.value - limit
    error = math.sqrt(limit * (1 - limit) / seen.samples)
    return distance - 0.5 / seen.samples > _Z[rule.confidence] * error


def _is_measured(found: Measured, want: Seen) -> bool:
    value = None if want.value is None else pytest.approx(want.value, rel=1e-12)
    about = found.samples, found.window_start, found.window_end
    return found.value == value and about == (want.samples, want.start, want.end)


def _is_beyond(rule: Rule, value: float, limit: float | None) -> bool:
    return limit is not None and (value < limit if rule.below else value > limit)


def _is_recovered(rule: Rule, value: float | None) -> bool:
    limit = rule.limits.critical if rule.limits.warning is None else rule.limits.warning
    if value is None or limit is None:
        return True
    better = limit + rule.recovery if rule.below else limit - rule.recovery
    return not _is_beyond(rule, value, better)


def _figure(
    rows: list[Row], measurement: str, target: float
) -> tuple[float | None, int, float | None]:
    """A measurement of some executions: value, samples and standard error."""
    are: Collection[bool] = ()
    match measurement:
        case "success_rate":
            are = [row["success"] is True for row in rows]
        case "error_rate":
            are = [row.get("error_type") is not None for row in rows]
        case "slow_executions":
            seconds = [row["duration_seconds"] for row in rows]
            are = [one > target for one in seconds if one is not None]
        case "recent_executions":
            return float(len(rows)), len(rows), None
        case "cost_budget":
            spent = math.fsum(row["actual_cost"] or 0 for row in rows)
            return spent if rows else None, len(rows), None
        case "cost_drift":
            return _drift([(row["actual_cost"], row["cost_estimate"]) for row in rows])
    return sum(are) / len(are) if are else None, len(are), None


def _drift(
    costs: Iterable[tuple[float | None, float | None]],
) -> tuple[float | None, int, float | None]:
    both = [(one, other) for one, other in costs if one is not None and other is not None]
    estimates = math.fsum(estimate for _, estimate in both)
    if not estimates:
        return None, len(both), None
    ratio = math.fsum(actual for actual, _ in both) / estimates
    squares = math.fsum((actual - ratio * estimate) ** 2 for actual, estimate in both)
    return ratio, len(both), math.sqrt(squares) / estimates


def _plainly(rule: Rule, seen: Seen, fewest: int) -> Verdict:
    if seen.value is None or seen.samples < fewest:
        return UNKNOWN
    is_raw = seen.error is None or rule.mode == "raw"
    reach = 0.0 if is_raw else _Z[rule.confidence] * (seen.error or 0)
    return compared(rule, seen.value + (reach if rule.below else -reach))


def _rates(measurement: str, rule: Rule, world: World) -> dict[str, Expected]:
    @cache
    def over(length: timedelta) -> dict[str, Seen]:
        return scopes(measurement, rule, world, length)

    def seen(scope: str, length: timedelta) -> Seen:
        return over(length).get(scope, Seen(None, 0, world.end - length, world.end))

    def is_enough(scope: str, length: timedelta) -> bool:
        return seen(scope, length).samples >= max(rule.min_samples, 1)

    window, windows = length_of(rule.window), sorted({*map(length_of, rule.windows)})
    found = {}
    for scope in {scope for length in (window, *windows) for scope in over(length)}:
        enough = [length for length in windows if is_enough(scope, length)]
        too_short = max({*windows} - {*enough}, default=DAY)
        # Instead of one that is too short: the fewest full hours that are enough.
        hours = [n * HOUR for n in range(1, 25) if too_short < n * HOUR <= min(enough, default=DAY)]
        shortest = next((length for length in hours if is_enough(scope, length)), None)
        looked_at = sorted({*enough} | ({shortest} if shortest else set()))
        widest = seen(scope, max(hours, default=windows[-1]))
        verdict, told = _confident(rule, [seen(scope, one) for one in looked_at], widest)
        found[scope] = Expected(verdict, told, seen(scope, window))
    return found


def _confident(rule: Rule, enough: list[Seen], widest: Seen) -> tuple[Verdict, Seen]:
    if not enough:
        return UNKNOWN, widest
    latest = enough[0].value or 0.0
    for verdict, limit in ((CRITICAL, rule.limits.critical), (WARNING, rule.limits.warning)):
        if limit is not None and _is_beyond(rule, latest, limit):
            for seen in enough:
                if is_sure(rule, seen, limit):
                    return verdict, seen
    return OK, enough[0]


def _silence(rule: Rule, world: World) -> Expected:
    raw = scopes("recent_executions", rule, world, length_of(rule.window))["all"]
    verdict = compared(rule, raw.value)
    if not world.within(datetime.min):
        return Expected(UNKNOWN, raw, raw)
    if verdict is OK or rule.mode == "raw":
        return Expected(verdict, raw, raw)
    length = length_of(rule.window) / HOUR
    whole, rest = divmod(length, 1)
    parts = [1.0] * int(whole) + ([rest] if rest else [])
    hours = [usual(world, world.end - n * HOUR) for n in range(len(parts))]
    mean = sum(part * one[0] for part, one in zip(parts, hours, strict=True))
    variance = sum(part * one[1] for part, one in zip(parts, hours, strict=True))
    note = f"usual at this time of the week are {mean:,.1f}"
    if min(one[2] for one in hours) < 6:
        verdict = UNKNOWN
    elif not mean or chance_of(raw.samples, mean, variance) > 1 - rule.confidence:
        verdict = OK
    return Expected(verdict, raw, raw, note=note)


def chance_of(count: int, mean: float, variance: float) -> float:
    """The chance of at most so many: by logarithms, of a Poisson or a negative binomial law."""
    log_chance: Callable[[int], float]
    if variance <= mean:

        def log_chance(k: int) -> float:
            return k * math.log(mean) - mean - math.lgamma(k + 1)

    else:
        success = mean / variance
        size = mean * success / (1 - success)

        def log_chance(k: int) -> float:
            ways = math.lgamma(k + size) - math.lgamma(size) - math.lgamma(k + 1)
            return ways + size * math.log(success) + k * math.log1p(-success)

    return math.fsum(math.exp(log_chance(k)) for k in range(count + 1))


def _objective(rule: Rule, world: World) -> Expected:
    assert rule.target is not None
    found = []
    for window, short, limit, severity in _BURNS:
        long, brief = (_burnt(world, length, rule.target) for length in (window, short))
        verdict = OK
        if long.value is None or brief.value is None or long.samples < rule.min_samples:
            verdict = UNKNOWN
        elif long.value > limit and brief.value > limit:
            verdict = severity
        is_critical = severity is CRITICAL
        limits = Limits(critical=limit) if is_critical else Limits(warning=limit)
        found.append(Expected(verdict, long, long, limits))
    worst = max(one.verdict.badness for one in found)
    return next(one for one in found if one.verdict.badness == worst)


def _burnt(world: World, length: timedelta, target: float) -> Seen:
    start = world.end - length
    rows = world.within(hour_of(start) if length > DAY else start)
    failed = Counter(row["success"] is True for row in rows)[False]
    rate = failed / len(rows) / (1 - target) if rows else None
    return Seen(rate, len(rows), start, world.end)


def _anomalies(rule: Rule, world: World) -> dict[str, Expected]:
    """By how much the last hour and the one before it are unlike theirs, whichever is less."""
    now, before = (unlike(world, end, rule.min_samples) for end in (world.end, world.end - HOUR))
    found = {}
    for metric, (z, samples) in now.items():
        z_before = before[metric][0]
        size = None
        if z is not None and z_before is not None:
            size = min(abs(z), abs(z_before)) if z * z_before > 0 else 0.0
        seen = Seen(size, samples, world.end - 2 * HOUR, world.end)
        found[metric] = Expected(compared(rule, size), seen, seen)
    return found


def unlike(world: World, end: datetime, min_samples: int) -> dict[str, tuple[float | None, int]]:
    """How many standard errors the hour before an instant is from the hours alike, by figure.

    With the number of executions that the figure is from.
    """
    now = world.within(end - HOUR, end)
    alike = [
        rows
        for hour, rows in hours_alike(world, end).items()
        if hour not in world.hours_beyond_limit
    ]
    counts = [float(len(rows)) for rows in alike]
    found = {"volume": (_z(len(now), counts, lambda n: 2 * math.sqrt(n + 0.375), 1.0), len(now))}
    figures: dict[str, tuple[Callable[[Row], float | None], Callable[[float], float], float]] = {
        "success_rate": (
            lambda row: float(row["success"] is True),
            lambda rate: 2 * math.asin(math.sqrt(rate)),
            1 / math.sqrt(max(len(now), 1)),
        ),
        "duration": (lambda row: row["duration_seconds"], _log, 0.05),
        "cost": (lambda row: row["actual_cost"], _log, 0.05),
    }
    for metric, (of_row, scale, chance) in figures.items():
        values, *others = (
            [value for row in rows if (value := of_row(row)) is not None] for rows in (now, *alike)
        )
        means = [
            math.fsum(one) / len(one) if len(one) >= max(min_samples, 1) else None
            for one in (values, *others)
        ]
        known = [mean for mean in means[1:] if mean is not None]
        sizes = [len(one) for one in others if len(one) >= max(min_samples, 1)]
        fewer = max(1, median(sizes) / max(len(values), 1)) if sizes else 1
        found[metric] = _z(means[0], known, scale, chance, fewer), len(values)
    return found


def _z(
    value: float | None,
    before: list[float],
    scale: Callable[[float], float],
    chance: float,
    fewer: float = 1,
) -> float | None:
    if value is None or len(before) < 8:
        return None
    scaled = [*map(scale, before)]
    deviation = 1.4826 * median(abs(one - median(scaled)) for one in scaled)
    # Two variances: that of such a figure, and that of the median of so many of them.
    scatter = math.sqrt(fewer * deviation**2 + math.pi / 2 * deviation**2 / len(before))
    return (scale(value) - median(scaled)) / max(scatter, chance)


def _log(value: float) -> float:
    return math.log(max(value, 1e-9))
