"""What the rules say of real databases, against plain Python over the rows that were put there."""

from __future__ import annotations

import math
import random
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dbmon_pipeline.core.check_history import published_since
from dbmon_pipeline.core.config import MonitoringConfig
from dbmon_pipeline.core.evaluate import evaluate
from dbmon_pipeline.core.published import Published
from dbmon_pipeline.core.queries import Reader, database_reader, published_reader, reading
from dbmon_pipeline.core.rule_config import Dimension, Limits, Measurement, Rule, length_of
from dbmon_pipeline.core.rules import Alert, Measured, Verdict
from dbmon_pipeline.core.settings import Home, Settings
from dbmon_pipeline_tests.helpers import (
    change_source,
    execution,
    make_source,
    refresh_core,
    settings_for,
)

Row = dict[str, Any]
Mode = Literal["confident", "raw"]
Told = dict[tuple[str, str], Alert]
"""Alerts by rule and scope."""

AS_OF = datetime.fromisoformat("2026-02-10T13:37:21")
"""A Tuesday."""
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WEEK = timedelta(weeks=1)
TICK = timedelta.resolution
Z = {0.995: 2.5758293035489004, 0.95: 1.6448536269514722}
"""Quantiles of the normal distribution, as tables have them."""

OK, WARNING, CRITICAL, UNKNOWN = (
    Verdict.OK,
    Verdict.WARNING,
    Verdict.CRITICAL,
    Verdict.INSUFFICIENT_DATA,
)
RATES = ("success_rate", "error_rate", "slow_executions")
COSTS = ("cost_budget", "cost_drift")
RULES = (*RATES, *COSTS, "recent_executions", "database_size", "source_freshness")
"""The shipped rules that are tested here; those of objectives and anomalies are not."""
KINDS = ("published", "kept", "database")
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)
MODES: tuple[Mode, ...] = get_args(Mode)
ABOUT_THE_SOURCE = frozenset({"database_size", "source_freshness"})


# Readers and rules


@contextmanager
def opened(kind: str, settings: Settings, as_of: datetime) -> Iterator[Reader]:
    """A reader of what is published, of that with its cells in memory, or of the source itself."""
    if kind == "database":
        with database_reader(settings.source, settings.config, as_of) as reader:
            yield reader
    elif kind == "kept":
        with (
            Published(settings.home, in_memory=True) as published,
            reading(published, as_of) as reader,
        ):
            yield reader
    else:
        with published_reader(settings.home, as_of) as reader:
            yield reader


def evaluated(
    kind: str, settings: Settings, as_of: datetime, rules: Mapping[str, Rule] | None = None
) -> Told:
    """What rules say, by rule and scope; each says one thing of a scope."""
    config = with_rules(settings.config, settings.config.rules if rules is None else rules)
    with opened(kind, settings, as_of) as reader:
        alerts = evaluate(reader, config)
    told = {(alert.rule, alert.scope): alert for alert in alerts}
    assert len(told) == len(alerts)
    return told


def with_rules(config: MonitoringConfig, rules: Mapping[str, Rule]) -> MonitoringConfig:
    """A configuration with other rules."""
    return msgspec.structs.replace(config, rules=dict(rules))


def rule(base: Rule, **values: object) -> Rule:
    """A rule with other values."""
    return msgspec.structs.replace(base, **values)


def shipped_rules(settings: Settings, mode: Mode) -> dict[str, Rule]:
    """The shipped rules, and a budget."""
    rules = {name: rule(settings.config.rules[name], mode=mode) for name in RULES}
    budget = Limits(warning=100, critical=200)
    return rules | {"cost_budget": rule(rules["cost_budget"], enabled=True, above=budget)}


def filled(path: Path, rows: list[Row]) -> None:
    """Make a source with many rows, in one statement."""
    make_source(path)
    names = sorted({name for row in rows for name in row})
    if rows:
        change_source(
            path,
            f"INSERT INTO executions ({', '.join(names)})"
            f" SELECT {', '.join(f'unnest(${name})' for name in names)}",
            **{name: [row.get(name) for row in rows] for name in names},
        )


def site(folder: Path, rows: list[Row], as_of: datetime | None = AS_OF) -> Settings:
    """A source with rows, refreshed as of an instant if there is one."""
    settings = settings_for(folder)
    filled(settings.source, rows)
    if as_of:
        refresh_core(with_shipped(settings), as_of)
    return settings


def with_shipped(settings: Settings) -> Settings:
    """Settings of whose rules none is about an objective or an anomaly."""
    return replace(
        settings, config=with_rules(settings.config, shipped_rules(settings, "confident"))
    )


# Brute force


@dataclass(frozen=True)
class Figure:
    """A measurement of one scope, and its standard error if it has one."""

    value: float | None
    samples: int
    error: float | None = None


@dataclass(frozen=True)
class Expected:
    """What a rule should say of a scope."""

    verdict: Verdict
    told: Figure
    start: datetime
    raw: Figure
    raw_start: datetime
    raw_verdict: Verdict


def figures(
    rows: Iterable[Row],
    measurement: str,
    start: datetime,
    end: datetime,
    by: str | None = None,
    target: float = 600,
) -> dict[str, Figure]:
    """A measurement over ``[start, end)``, by scope; without a dimension there is always one."""
    scopes: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if start <= row["timestamp"] < end:
            scopes["all" if by is None else row[by] or "unknown"].append(row)
    if by is None:
        scopes.setdefault("all", [])
    found = {scope: figure(of_scope, measurement, target) for scope, of_scope in scopes.items()}
    # Executions without both costs have no drift, and alone they are no scope of it.
    return {s: f for s, f in found.items() if by is None or f.samples or measurement in RATES}


def figure(rows: list[Row], measurement: str, target: float) -> Figure:
    """A measurement of some executions."""
    durations = [row["duration_seconds"] for row in rows if row["duration_seconds"] is not None]
    both = [
        (row["actual_cost"], row["cost_estimate"])
        for row in rows
        if row["actual_cost"] is not None and row["cost_estimate"] is not None
    ]
    match measurement:
        case "success_rate":
            return _rate([row["success"] is True for row in rows])
        case "error_rate":
            return _rate([row["error_type"] is not None for row in rows])
        case "slow_executions":
            return _rate([duration > target for duration in durations])
        case "recent_executions":
            return Figure(len(rows), len(rows))
        case "cost_budget":
            spent = math.fsum(row["actual_cost"] or 0 for row in rows)
            return Figure(spent if rows else None, len(rows))
    estimates = math.fsum(estimate for _, estimate in both)
    if not estimates:
        return Figure(None, len(both))
    ratio = math.fsum(actual for actual, _ in both) / estimates
    residuals = math.fsum((actual - ratio * estimate) ** 2 for actual, estimate in both)
    return Figure(ratio, len(both), math.sqrt(residuals) / estimates)


def _rate(are: list[bool]) -> Figure:
    return Figure(are.count(True) / len(are) if are else None, len(are))


def beyond(made: Rule, value: float, limit: float | None) -> bool:
    """Whether a value is on the wrong side of a limit."""
    return limit is not None and (value < limit if made.below else value > limit)


def plain(made: Rule, value: float | None) -> Verdict:
    """The verdict on a value itself."""
    if value is None:
        return UNKNOWN
    if beyond(made, value, made.limits.critical):
        return CRITICAL
    return WARNING if beyond(made, value, made.limits.warning) else OK


def is_sure(made: Rule, seen: Figure, limit: float) -> bool:
    """Whether a score test refuses that the true rate is as good as a limit."""
    assert seen.value is not None
    distance = limit - seen.value if made.below else seen.value - limit
    return distance > Z[made.confidence] * math.sqrt(limit * (1 - limit) / seen.samples)


def usual(rows: Iterable[Row], end: datetime) -> tuple[float, float, int]:
    """Mean, variance and number of the hours alike, looked up hour by hour."""
    of_hour = Counter(_hour(row["timestamp"]) for row in rows if row["timestamp"] < end)
    since = _hour(end - 8 * WEEK - 2 * HOUR)
    first = min((hour for hour in of_hour if hour >= since), default=datetime.max)
    last = _hour(end - 30 * MINUTE)
    alike = [last - weeks * WEEK + shift * HOUR for weeks in range(1, 9) for shift in (-1, 0, 1)]
    counts = [of_hour[hour] for hour in alike if hour >= first]
    if not counts:
        return 0.0, 0.0, 0
    mean = sum(counts) / len(counts)
    squares = sum((count - mean) ** 2 for count in counts)
    return mean, squares / (len(counts) - 1) if len(counts) > 1 else 0.0, len(counts)


def chance_of(count: int, mean: float, variance: float) -> float:
    """The chance of at most so many: by logarithms, of a Poisson or a negative binomial law."""
    if variance <= mean:
        return sum(
            math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count + 1)
        )
    success = mean / variance
    size = mean * success / (1 - success)
    return sum(
        math.exp(
            math.lgamma(k + size)
            - math.lgamma(size)
            - math.lgamma(k + 1)
            + size * math.log(success)
            + k * math.log1p(-success)
        )
        for k in range(count + 1)
    )


def expected(rows: list[Row], name: str, made: Rule, end: datetime) -> dict[str, Expected]:
    """What a rule about executions should say, by scope."""
    measurement = made.measurement or name

    def over(length: timedelta) -> tuple[dict[str, Figure], datetime]:
        start = end - length
        return figures(rows, measurement, start, end, made.by, made.target_seconds), start

    raws, raw_start = over(length_of(made.window))
    if measurement == "cost_budget":
        midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
        raws, raw_start = over(end - midnight)
    if measurement not in RATES or made.mode == "raw":
        return {
            scope: Expected(
                _verdict(rows, measurement, made, raw, end),
                raw,
                raw_start,
                raw,
                raw_start,
                plain(made, raw.value),
            )
            for scope, raw in raws.items()
        }
    lengths = sorted(map(length_of, made.windows))
    windows = [over(length) for length in lengths]
    wider = [over(length) for length in (12 * HOUR, 24 * HOUR) if length > lengths[-1]]
    found = {}
    for scope in {scope for of_window, _ in windows for scope in of_window} | raws.keys():
        nothing = Figure(None, 0)
        of_scope = [(of_window.get(scope, nothing), start) for of_window, start in windows]
        verdict, told, start = _confident(made, of_scope)
        for of_window, wider_start in wider:
            if verdict is UNKNOWN:
                one = (of_window.get(scope, nothing), wider_start)
                verdict, told, start = _confident(made, [one])
        raw = raws.get(scope, nothing)
        found[scope] = Expected(verdict, told, start, raw, raw_start, plain(made, raw.value))
    return found


def _confident(
    made: Rule, windows: list[tuple[Figure, datetime]]
) -> tuple[Verdict, Figure, datetime]:
    enough = [(f, s) for f, s in windows if f.samples and f.samples >= made.min_samples]
    if not enough:
        return UNKNOWN, *windows[-1]
    latest = enough[0][0].value or 0.0
    for verdict, limit in ((CRITICAL, made.limits.critical), (WARNING, made.limits.warning)):
        if limit is not None and beyond(made, latest, limit):
            for seen, start in enough:
                if is_sure(made, seen, limit):
                    return verdict, seen, start
    return OK, *enough[0]


def _verdict(rows: list[Row], measurement: str, made: Rule, raw: Figure, end: datetime) -> Verdict:
    if measurement == "recent_executions":
        verdict = plain(made, raw.value)
        if not any(row["timestamp"] < end for row in rows):
            return UNKNOWN
        if verdict is OK or made.mode == "raw":
            return verdict
        mean, variance, hours = usual(rows, end)
        share = length_of(made.window) / HOUR
        if hours < 6:
            return UNKNOWN
        is_usual = not mean or chance_of(raw.samples, mean * share, variance * share) > (
            1 - made.confidence
        )
        return OK if is_usual else verdict
    if raw.value is None or raw.samples < made.min_samples:
        return UNKNOWN
    if raw.error is None or made.mode == "raw":
        return plain(made, raw.value)
    reach = Z[made.confidence] * raw.error
    return plain(made, raw.value + (reach if made.below else -reach))


def assert_as_expected(told: Told, name: str, made: Rule, rows: list[Row], end: datetime) -> None:
    """Compare what a rule says of every scope with brute force."""
    wanted = expected(rows, name, made, end)
    found = {scope: alert for (rule_name, scope), alert in told.items() if rule_name == name}
    assert found.keys() == wanted.keys(), name
    for scope, want in wanted.items():
        alert = found[scope]
        where = f"{name} of {scope}: {alert}, expected {want}"
        assert alert.verdict is want.verdict, where
        assert alert.raw_verdict is want.raw_verdict, where
        for measured, one, start in (
            (alert.measured, want.told, want.start),
            (alert.raw, want.raw, want.raw_start),
        ):
            assert (measured.value is None) == (one.value is None), where
            assert measured.value == pytest.approx(one.value, rel=1e-12), where
            assert (measured.samples, measured.window_start) == (one.samples, start), where
            assert measured.window_end == end, where
        assert (alert.mode, alert.direction) == (made.mode, made.direction), where
        assert (alert.warning, alert.critical) == (made.limits.warning, made.limits.critical)
        if want.told.error is not None and made.mode == "confident":
            reach = Z[made.confidence] * want.told.error
            best = (want.told.value or 0) + (reach if made.below else -reach)
            assert alert.measured.best == pytest.approx(best, rel=1e-6), where


def _hour(instant: datetime) -> datetime:
    return instant.replace(minute=0, second=0, microsecond=0)


# Every measurement, over executions of all kinds

ODD_NAME = 'o\'brien "the" \N{SNOWMAN}\N{ROCKET}; DROP TABLE --'


def mixed_rows(seed: int) -> list[Row]:
    """Executions of 30 hours: some scopes are bad, some are rare, names are missing or odd."""
    chance = random.Random(seed)  # noqa: S311

    def some(*values: object) -> Any:
        return chance.choice(values)

    ages = [timedelta(seconds=chance.expovariate(1 / 14400)) for _ in range(500)]
    ages += [timedelta(seconds=chance.uniform(0, 108000)) for _ in range(150)]
    edges = [timedelta(minutes=m) for m in (15, 30, 60, 120, 180, 360, 720, 1440)]
    ages += [age + tick for age in edges for tick in (-TICK, timedelta(0), TICK)]
    midnight = AS_OF - AS_OF.replace(hour=0, minute=0, second=0)
    ages += [midnight + tick for tick in (-TICK, timedelta(0), TICK)]
    rows = []
    for age in ages:
        repo = some("calm", "calm", "calm", "broken", "broken", ODD_NAME, None, some("a", "b"))
        fails = {"broken": 0.6, ODD_NAME: 0.4}.get(repo, 0.08)
        tier = some("small", "small", "large", None)
        success = some(None, False) if chance.random() < fails else True
        rows.append(
            execution(
                AS_OF - age,
                repo=repo,
                model_tier=tier,
                pool_type=some("main", "main", "main", "burst", ODD_NAME),
                task_type=some("fix", "test", None),
                success=success,
                error_type=None if success or chance.random() < 0.3 else some("Timeout", "Refused"),
                duration_seconds=some(None, 1.0, 600.0, 600.25, 30.5, 90.0, 2000.0)
                if tier == "large"
                else some(0.5, 12.0, 60.0, 599.75, 601.0),
                cost_estimate=some(None, *(n / 64 for n in range(1, 9))),
                actual_cost=some(None, *(n / 64 for n in range(17)))
                if repo != "broken"
                else some(0.5, 0.75, 1.0),
            )
        )
    return rows


def mixed_rules() -> dict[str, Rule]:
    """Every measurement by every dimension, in both modes, and some rules with odd keys."""
    rules = {}
    limits: dict[str, dict[str, Limits]] = {
        "success_rate": {"below": Limits(warning=0.85, critical=0.7)},
        "error_rate": {"above": Limits(warning=0.1, critical=0.25)},
        "slow_executions": {"above": Limits(warning=0.1, critical=0.3)},
        "cost_budget": {"above": Limits(warning=2, critical=20)},
        "cost_drift": {"above": Limits(warning=1.5, critical=3)},
        "recent_executions": {"below": Limits(warning=30)},
    }
    for name, sides in limits.items():
        measurement: Any = name
        for mode in MODES:
            for by in (None, *DIMENSIONS) if name != "recent_executions" else (None,):
                rules[f"{name} {by} {mode}"] = Rule(
                    measurement=measurement, mode=mode, by=by, **sides
                )
            rules[f"{name} all {mode}"] = Rule(
                measurement=measurement,
                mode=mode,
                min_samples=0,
                confidence=0.95,
                window="17m",
                windows=("12h", "15m", "2h"),
                target_seconds=60,
                **sides,
            )
    drifting = Limits(warning=1.2)
    rules["cheap"] = Rule(measurement="cost_drift", below=drifting, window="24h", by="repo")
    rules["many"] = Rule(measurement="success_rate", above=Limits(critical=0.9), min_samples=60)
    return rules


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[Row]]:
    """A home with executions of all kinds, and those."""
    rows = mixed_rows(7)
    return site(tmp_path_factory.mktemp("mixed"), rows), rows


@pytest.mark.parametrize(
    ("kind", "later"),
    [
        ("published", timedelta(0)),
        ("published", 5 * HOUR),
        ("published", -3 * HOUR),
        ("kept", timedelta(0)),
        ("database", timedelta(0)),
        ("database", -3 * HOUR),
    ],
)
def test_every_measurement_by_every_dimension(
    mixed: tuple[Settings, list[Row]], kind: str, later: timedelta
) -> None:
    """Values, samples, windows and verdicts of all scopes; as of now, of before, and of later.

    What is asked for later than the source was read ends where it was read up to.
    """
    settings, rows = mixed
    end = min(AS_OF, AS_OF + later)
    rules = mixed_rules()
    told = evaluated(kind, settings, AS_OF + later, rules)
    for name, made in rules.items():
        assert_as_expected(told, name, made, rows, end)
    verdicts = Counter(alert.verdict for alert in told.values())
    assert all(verdicts[verdict] > 5 for verdict in Verdict)


def test_one_scope_fires_while_the_others_do_not(mixed: tuple[Settings, list[Row]]) -> None:
    """Each is judged for itself; one without a name is unknown, and any name is just a name."""
    settings, _ = mixed
    rules = {"success_rate": rule(settings.config.rules["success_rate"], by="repo")}
    told = evaluated("published", settings, AS_OF, rules)
    verdicts = {scope: alert.verdict for (_, scope), alert in told.items()}
    assert verdicts == {
        "calm": OK,
        "broken": CRITICAL,
        ODD_NAME: verdicts[ODD_NAME],
        "unknown": OK,
        "a": OK,
        "b": OK,
    }
    assert verdicts[ODD_NAME].badness > 0


def test_the_order_of_windows_is_no_matter(mixed: tuple[Settings, list[Row]]) -> None:
    """Nor whether one is named twice."""
    settings, _ = mixed
    base = settings.config.rules["success_rate"]
    orders = (("30m", "1h", "3h", "6h"), ("6h", "30m", "3h", "1h", "60m"))
    one, other = (
        evaluated("database", settings, AS_OF, {"x": rule(base, by="repo", windows=windows)})
        for windows in orders
    )
    assert one == other


@pytest.mark.parametrize("mode", MODES)
def test_every_reader_says_the_same(mixed: tuple[Settings, list[Row]], mode: Mode) -> None:
    """To the last bit, and so does the refresh itself, which notes what the rules say."""
    settings, _ = mixed
    one, kept, database = (
        evaluated(kind, settings, AS_OF, shipped_rules(settings, mode)) for kind in KINDS
    )
    assert one == kept == database
    assert len(one) == len(RULES)
    if mode == "confident":
        with Published(settings.home) as published:
            noted = published_since(published, AS_OF - TICK)
        assert {(row.rule, row.scope): row.verdict for row in noted} == {
            key: alert.verdict for key, alert in one.items()
        }
        assert {(row.rule, row.value, row.samples, row.raw_value) for row in noted} == {
            (a.rule, a.measured.value, a.measured.samples, a.raw.value) for a in one.values()
        }


def test_a_rule_that_is_off_says_nothing(mixed: tuple[Settings, list[Row]]) -> None:
    """As the budget does until one is set."""
    settings, _ = mixed
    assert ("cost_budget", "all") not in evaluated("database", settings, AS_OF)
    off = {n: rule(r, enabled=False) for n, r in settings.config.rules.items()}
    assert evaluated("database", settings, AS_OF, off) == {}


# Each shipped rule fires, and does not


def state_of_affairs(verdict: Verdict) -> list[Row]:
    """One execution a minute, for four hours: with a good, a poor or a bad value of everything."""
    kind = (OK, WARNING, CRITICAL).index(verdict)
    is_failed: Callable[[int], bool] = [
        lambda n: n % 25 == 0,
        lambda n: n % 4 == 0,
        lambda n: n % 2 == 0,
    ][kind]
    has_error: Callable[[int], bool] = [
        lambda n: n % 25 == 0,
        lambda n: n % 5 == 0,
        lambda n: n % 2 == 0,
    ][kind]
    is_slow: Callable[[int], bool] = [
        lambda n: n % 25 == 0,
        lambda n: n % 5 == 0,
        lambda n: n % 5 > 0,
    ][kind]
    multiple = (1, 2, 4)[kind]
    return [
        execution(
            AS_OF - (n + 0.5) * MINUTE,
            success=not is_failed(n),
            error_type="Timeout" if has_error(n) else None,
            duration_seconds=900.0 if is_slow(n) else 30.0,
            cost_estimate=0.25,
            actual_cost=0.25 * multiple + (-0.0625 if n % 2 else 0.0625),
        )
        for n in range(240)
    ]


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> dict[Verdict, Settings]:
    """A home for each."""
    return {
        verdict: site(tmp_path_factory.mktemp(verdict), state_of_affairs(verdict))
        for verdict in (OK, WARNING, CRITICAL)
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("verdict", [OK, WARNING, CRITICAL])
def test_shipped_rules_fire_and_do_not(
    states: dict[Verdict, Settings], verdict: Verdict, mode: Mode, kind: str
) -> None:
    """On what is good, poor and bad beyond doubt both modes say the same."""
    settings = states[verdict]
    rules = shipped_rules(settings, mode)
    told = evaluated(kind, settings, AS_OF, rules)
    names = (*RATES, *COSTS)
    assert {name: told[name, "all"].verdict for name in names} == dict.fromkeys(names, verdict)
    for name in names:
        assert_as_expected(told, name, rules[name], state_of_affairs(verdict), AS_OF)
        assert told[name, "all"].is_recovered == (verdict is OK)
    assert told["recent_executions", "all"].verdict is OK
    assert told["database_size", "all"].verdict is OK
    assert told["source_freshness", "all"].verdict is OK


@pytest.mark.parametrize("kind", ["published", "database"])
@pytest.mark.parametrize(
    ("factors", "verdict"),
    [((1.1, 1.2), OK), ((1, 1.2), OK), ((0.9, 1.1), WARNING), ((0.8, 0.9), CRITICAL)],
)
@pytest.mark.parametrize("mode", MODES)
def test_the_size_is_that_of_the_file(
    states: dict[Verdict, Settings],
    factors: tuple[float, float],
    verdict: Verdict,
    mode: Mode,
    kind: str,
) -> None:
    """In MB of a million bytes; a file of just the limit is not beyond it."""
    settings = states[OK]
    size = settings.source.stat().st_size / 1e6
    limits = Limits(warning=size * factors[0], critical=size * factors[1])
    base = rule(settings.config.rules["database_size"], mode=mode, above=limits)
    alert = evaluated(kind, settings, AS_OF, {"database_size": base})["database_size", "all"]
    assert alert.verdict is alert.raw_verdict is verdict
    assert alert.measured.value == size
    assert alert.measured.samples == 240


def test_the_size_of_a_source_that_is_gone_is_the_last_one(
    states: dict[Verdict, Settings],
) -> None:
    """What was noted when it was read."""
    settings = states[WARNING]
    size = settings.source.stat().st_size
    aside = settings.source.rename(settings.source.with_suffix(".aside"))
    try:
        told = evaluated("published", settings, AS_OF, shipped_rules(settings, "raw"))
    finally:
        aside.rename(settings.source)
    assert told["database_size", "all"].measured.value == size / 1e6


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("age", "verdict"),
    [
        (timedelta(0), OK),
        (3 * HOUR, OK),
        (3 * HOUR + TICK, WARNING),
        (6 * HOUR, WARNING),
        (6 * HOUR + TICK, CRITICAL),
    ],
)
def test_freshness_is_that_of_what_is_published(
    states: dict[Verdict, Settings], age: timedelta, verdict: Verdict, mode: Mode
) -> None:
    """A database that is looked into is read at that moment."""
    settings = states[OK]
    limits = Limits(warning=10800, critical=21600)
    base = rule(settings.config.rules["source_freshness"], mode=mode, above=limits)
    rules = {"source_freshness": base}
    alert = evaluated("published", settings, AS_OF + age, rules)["source_freshness", "all"]
    assert (alert.verdict, alert.raw_verdict) == (verdict, verdict)
    assert alert.measured.value == age.total_seconds()
    direct = evaluated("database", settings, AS_OF + age, rules)["source_freshness", "all"]
    assert (direct.verdict, direct.measured.value) == (OK, 0)


def test_windows_end_where_the_source_was_read_up_to(states: dict[Verdict, Settings]) -> None:
    """So that nothing is found missing that was never looked for; the source is old, not silent."""
    settings = states[CRITICAL]
    rules = shipped_rules(settings, "confident")
    now = evaluated("published", settings, AS_OF, rules)
    later = evaluated("published", settings, AS_OF + 20 * HOUR, rules)
    assert later["source_freshness", "all"].verdict is WARNING
    for name in (*RATES, *COSTS, "recent_executions"):
        assert later[name, "all"] == now[name, "all"]
        assert later[name, "all"].measured.window_end == AS_OF


# Chance, and where else to look


def test_what_may_be_chance_is_told_by_the_plain_value_alone(tmp_path: Path) -> None:
    """Four of twenty executions failed: 80 % is below 85 %, and would be half of all days."""
    rows = [execution(AS_OF - (n + 1) * MINUTE, success=n % 5 > 0) for n in range(20)]
    settings = site(tmp_path, rows)
    for kind in KINDS:
        for mode, verdict in (("confident", OK), ("raw", WARNING)):
            base = rule(settings.config.rules["success_rate"], mode=mode)
            told = evaluated(kind, settings, AS_OF, {"success_rate": base})
            alert = told["success_rate", "all"]
            assert (alert.verdict, alert.raw_verdict) == (verdict, WARNING)
            assert (alert.measured.value, alert.measured.samples) == (0.8, 20)
            assert not alert.is_recovered


def failing(repo: str, *groups: tuple[int, float], success: bool = False) -> list[Row]:
    """So many executions of a repository, so many hours ago."""
    return [
        execution(AS_OF - hours * HOUR + n * timedelta(seconds=1), repo=repo, success=success)
        for count, hours in groups
        for n in range(count)
    ]


@pytest.mark.parametrize("kind", ["published", "database"])
def test_wider_windows_are_for_want_of_samples(
    tmp_path_factory: pytest.TempPathFactory, wide: tuple[Settings, list[Row]], kind: str
) -> None:
    """12 hours if no window has enough, then 24; never to find what a window has not."""
    del tmp_path_factory
    settings, rows = wide
    base = rule(settings.config.rules["success_rate"], by="repo")
    rules = {"success_rate": base, "two": rule(base, measurement="success_rate", windows=("24h",))}
    told = evaluated(kind, settings, AS_OF, rules)
    found = {
        scope: (alert.verdict, alert.measured.samples, AS_OF - alert.measured.window_start)
        for (name, scope), alert in told.items()
        if name == "success_rate" and alert.measured.window_start
    }
    assert found == {
        "half a day": (CRITICAL, 12, 12 * HOUR),
        "a day": (CRITICAL, 10, 24 * HOUR),
        "too few": (UNKNOWN, 9, 24 * HOUR),
        "once bad": (OK, 10, 3 * HOUR),
        "always bad": (CRITICAL, 10, 3 * HOUR),
        "almost": (CRITICAL, 11, 12 * HOUR),
    }
    for name, made in rules.items():
        assert_as_expected(told, name, made, rows, AS_OF)
    assert told["two", "too few"].measured.samples == 9
    assert told["two", "once bad"].measured.samples == 60


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[Row]]:
    """A home whose repositories have executions at different times."""
    rows = [
        *failing("half a day", (9, 5), (3, 8)),
        *failing("a day", (5, 5), (5, 20)),
        *failing("too few", (5, 1), (4, 23.9)),
        *failing("once bad", (50, 8)),
        *failing("once bad", (10, 2), success=True),
        *failing("always bad", (10, 2), (90, 8)),
        *failing("almost", (9, 0.2), (2, 11.9), (40, 12.1)),
    ]
    return site(tmp_path_factory.mktemp("wide"), rows), rows


@pytest.mark.parametrize("kind", ["published", "database"])
def test_without_a_dimension_the_whole_day_is_looked_at(
    tmp_path: Path, kind: str, wide: tuple[Settings, list[Row]]
) -> None:
    """Though the windows of the rule have no execution at all."""
    del tmp_path
    settings, rows = wide
    base = settings.config.rules["success_rate"]
    rules = {"success_rate": rule(base, windows=("1m", "2m"), window="1m")}
    alert = evaluated(kind, settings, AS_OF, rules)["success_rate", "all"]
    assert_as_expected(
        {("success_rate", "all"): alert}, "success_rate", rules["success_rate"], rows, AS_OF
    )
    assert alert.measured.window_start == AS_OF - 12 * HOUR
    assert (alert.raw, alert.raw_verdict) == (
        Measured(None, 0, AS_OF - MINUTE, AS_OF),
        UNKNOWN,
    )


# Silence


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[Row]]:
    """A home with 18 to 22 executions an hour from 8 to 18 on weekdays, silent from noon on.

    Refreshed at half past three in the night, and then as of ``AS_OF``, on a Tuesday.
    """
    chance = random.Random(3)  # noqa: S311
    monday = datetime(2025, 12, 8)
    rows = [
        execution(hour + timedelta(seconds=chance.uniform(0, 3599)))
        for hour in (monday + n * HOUR for n in range(24 * 7 * 10))
        if hour.weekday() < 5 and 8 <= hour.hour < 18 and hour < AS_OF.replace(hour=12, minute=0)
        for _ in range(chance.randint(18, 22))
    ]
    return site(tmp_path_factory.mktemp("office"), rows, NIGHT), rows


NIGHT = AS_OF.replace(hour=3, minute=30)


@pytest.fixture(scope="module")
def told_by_office(office: tuple[Settings, list[Row]]) -> Callable[..., Alert]:
    """What a rule about executions says as of an instant, and what brute force says."""
    settings, rows = office
    refreshed = {NIGHT}

    def told(kind: str, as_of: datetime, **values: object) -> Alert:
        base = rule(settings.config.rules["recent_executions"], **values)
        rules = {"recent_executions": base}
        if kind != "database" and as_of not in refreshed:
            refresh_core(with_shipped(settings), as_of)
            refreshed.add(as_of)
        found = evaluated(kind, settings, as_of, rules)
        assert_as_expected(found, "recent_executions", base, rows, as_of)
        return found["recent_executions", "all"]

    return told


def test_silence_in_the_night_is_usual(told_by_office: Callable[..., Alert]) -> None:
    """Only a plain comparison tells it."""
    for kind in KINDS:
        alert = told_by_office(kind, NIGHT)
        assert (alert.verdict, alert.raw_verdict, alert.measured.value) == (OK, WARNING, 0)
        assert told_by_office(kind, NIGHT, mode="raw").verdict is WARNING


def test_silence_at_noon_is_not(told_by_office: Callable[..., Alert]) -> None:
    """At an hour that is usually busy both modes tell it, and what would be usual."""
    for kind in KINDS:
        alert = told_by_office(kind, AS_OF)
        assert (alert.verdict, alert.raw_verdict, alert.measured.value) == (WARNING, WARNING, 0)
        assert "usual at this hour of the week are" in alert.note
        for mode in MODES:
            limits = Limits(warning=30, critical=1)
            found = told_by_office(kind, AS_OF, mode=mode, below=limits)
            assert found.verdict is CRITICAL


@pytest.mark.parametrize(
    ("at", "limit", "window", "verdict"),
    [
        ("2026-02-10T10:40", 30, "1h", OK),  # as always
        ("2026-02-10T12:10", 30, "1h", OK),  # only ten minutes are missing
        ("2026-02-10T12:45", 30, "1h", WARNING),  # a quarter of an hour is left
        ("2026-02-10T12:45", 1, "1h", OK),  # not below that limit
        ("2026-02-10T13:37", 60, "3h", OK),  # only half of it
        ("2026-02-10T15:30", 60, "3h", WARNING),
        ("2026-02-09T08:00", 1, "1h", OK),  # begins to work
        ("2026-02-08T13:00", 1, "1h", OK),  # a Sunday
        ("2026-02-06T18:20", 30, "30m", OK),  # ends to work
    ],
)
def test_fewer_than_usual_is_not_silence(
    told_by_office: Callable[..., Alert], at: str, limit: float, window: str, verdict: Verdict
) -> None:
    """What is unlikely for that hour of the week fires, what may be does not."""
    as_of = datetime.fromisoformat(at)
    alert = told_by_office("database", as_of, below=Limits(warning=limit), window=window)
    assert alert.verdict is verdict


@pytest.mark.parametrize(
    ("first", "verdict"),
    [
        (2 * HOUR, UNKNOWN),
        (6 * DAY, UNKNOWN),
        (8 * DAY, UNKNOWN),  # three hours alike
        (14 * DAY, UNKNOWN),  # five: the one that is 15 days and an hour ago is not known
        (15 * DAY, WARNING),
    ],
)
def test_a_short_history_knows_no_usual(tmp_path: Path, first: timedelta, verdict: Verdict) -> None:
    """Less than six hours alike are too few to call a silence unusual; a plain comparison does."""
    hours = int(first / HOUR)
    rows = [
        execution(_hour(AS_OF) - n * HOUR + m * MINUTE)
        for n in range(1, hours + 1)
        for m in range(0, 60, 5 if hours < 12 else 2)
    ]
    rows = [row for row in rows if row["timestamp"] < AS_OF - HOUR]
    settings = site(tmp_path, rows, None if verdict is WARNING else AS_OF)
    for kind in KINDS if verdict is UNKNOWN and first < DAY else ("database",):
        for mode, want in (("confident", verdict), ("raw", WARNING)):
            base = rule(settings.config.rules["recent_executions"], mode=mode)
            told = evaluated(kind, settings, AS_OF, {"recent_executions": base})
            assert_as_expected(told, "recent_executions", base, rows, AS_OF)
            assert told["recent_executions", "all"].verdict is want


@pytest.mark.parametrize("mode", MODES)
def test_an_empty_database_is_not_silent(tmp_path: Path, mode: Mode) -> None:
    """Nothing is known of its executions, all of its file."""
    settings = site(tmp_path, [])
    for kind in KINDS:
        told = evaluated(kind, settings, AS_OF, shipped_rules(settings, mode))
        assert {name for name, _ in told} == set(RULES)
        for (name, scope), alert in told.items():
            about_the_file = name in ABOUT_THE_SOURCE
            assert scope == "all"
            assert alert.verdict is (OK if about_the_file else UNKNOWN), name
            assert alert.measured.samples == 0


@pytest.fixture(scope="module")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[Row]]:
    """A home with random executions over ten weeks."""
    chance = random.Random(11)  # noqa: S311
    hours = [_hour(AS_OF) - n * HOUR for n in range(24 * 70)]
    busy = {hour: chance.expovariate(0.5) for hour in hours}
    rows = [
        execution(hour + timedelta(seconds=chance.uniform(0, 3600)), pool_type=chance.choice("abc"))
        for hour in hours
        for _ in range(min(int(busy[hour] ** 1.5), 9))
    ]
    rows += [
        execution(instant + tick)
        for weeks in (1, 8)
        for instant in (_hour(AS_OF) - weeks * WEEK + shift * HOUR for shift in (-1, 0, 1, 2))
        for tick in (-TICK, timedelta(0))
    ]
    rows = [row for row in rows if row["timestamp"] < AS_OF]
    return site(tmp_path_factory.mktemp("weeks"), rows), rows


@pytest.mark.parametrize("kind", KINDS)
def test_usual_executions_are_those_of_the_hours_alike(
    weeks: tuple[Settings, list[Row]], kind: str
) -> None:
    """Mean, variance and number of hours, hour by hour over eight weeks."""
    settings, rows = weeks
    ends = [AS_OF, AS_OF + 20 * MINUTE]
    if kind == "database":
        edges = [_hour(AS_OF) + MINUTE * m - TICK * t for m in (0, 30) for t in (1, 0, -1)]
        ends = [AS_OF, *edges, *(AS_OF - n * 53 * HOUR for n in range(1, 10))]
        ends += [AS_OF - n * WEEK + HOUR for n in (7, 8, 9, 10, 11)]
    with opened(kind, settings, AS_OF + HOUR) as reader:
        for end in ends:
            [found] = reader.measure("usual_executions", 8 * WEEK + 2 * HOUR, end).rows
            mean, variance, hours = usual(rows, end)
            assert found[2] == hours, end
            assert (float(found[0] or 0), float(found[1] or 0)) == (
                pytest.approx(mean, rel=1e-9),
                pytest.approx(variance, rel=1e-9),
            ), end


# Costs, and the size to come


@pytest.mark.parametrize("kind", KINDS)
def test_a_budget_is_that_of_the_day(budget: tuple[Settings, list[Row]], kind: str) -> None:
    """From midnight UTC on, the first microsecond included; whatever window the rule has."""
    settings, rows = budget
    sides = {"above": Limits(warning=0.9, critical=1.5)}
    rules = {
        "cost_budget": Rule(min_samples=0, window="30d", **sides),
        "by tier": Rule(measurement="cost_budget", min_samples=0, by="model_tier", **sides),
    }
    as_of = datetime(2026, 2, 11, 0, 20)
    told = evaluated(kind, settings, as_of, rules)
    found = {key: (alert.verdict, alert.measured.value) for key, alert in told.items()}
    assert found == {
        ("cost_budget", "all"): (CRITICAL, 1.75),
        ("by tier", "small"): (WARNING, 1.25),
        ("by tier", "large"): (OK, 0.5),
        ("by tier", "free"): (OK, 0.0),
    }
    for name, made in rules.items():
        assert_as_expected(told, name, made, rows, as_of)


@pytest.fixture(scope="module")
def budget(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[Row]]:
    """A home with executions around a midnight."""
    midnight = datetime(2026, 2, 11)
    rows = [
        execution(midnight + at, model_tier=tier, actual_cost=cost)
        for at, tier, cost in (
            (-HOUR, "small", 64.0),
            (-TICK, "small", 32.0),
            (-TICK, "old", 32.0),
            (timedelta(0), "small", 1.0),
            (TICK, "large", 0.5),
            (10 * MINUTE, "small", 0.25),
            (11 * MINUTE, "small", None),
            (12 * MINUTE, "free", None),
            (20 * MINUTE, "small", 16.0),
        )
    ]
    settings = site(tmp_path_factory.mktemp("budget"), rows, midnight + 20 * MINUTE)
    return settings, rows


def test_a_new_day_has_spent_nothing(budget: tuple[Settings, list[Row]]) -> None:
    """At midnight itself the budget of yesterday is over."""
    settings, _ = budget
    made = Rule(min_samples=0, above=Limits(warning=0.9))
    told = evaluated("database", settings, datetime(2026, 2, 11), {"cost_budget": made})
    assert told["cost_budget", "all"].verdict.badness <= 0
    assert told["cost_budget", "all"].measured.samples == 0
    told = evaluated("database", settings, datetime(2026, 2, 11) - TICK, {"cost_budget": made})
    assert told["cost_budget", "all"].measured.value == 64


def test_a_drift_is_told_when_its_scatter_does_not_explain_it(tmp_path: Path) -> None:
    """The same multiple of the estimate, steady and scattered."""
    rows = [
        execution(
            AS_OF - (n + 1) * MINUTE, repo=repo, cost_estimate=0.25, actual_cost=0.5 + by[n % 4]
        )
        for repo, by in (("steady", (-0.0625, 0.0625) * 2), ("wild", (-0.5, -0.5, -0.5, 1.5)))
        for n in range(40)
    ]
    settings = site(tmp_path, rows, None)
    base = rule(settings.config.rules["cost_drift"], by="repo")
    told = evaluated("database", settings, AS_OF, {"cost_drift": base})
    assert_as_expected(told, "cost_drift", base, rows, AS_OF)
    assert {
        scope: (a.verdict, a.raw_verdict, a.measured.value) for (_, scope), a in told.items()
    } == {
        "steady": (WARNING, WARNING, 2.0),
        "wild": (OK, WARNING, 2.0),
    }


@pytest.mark.parametrize("kind", ["published", "database"])
@pytest.mark.parametrize(
    ("factors", "named"),
    [((1.5, 3), 0), ((0.5, 1.5), 1), ((0.5, 0.9), None), ((1e6, 2e6), None), ((None, 1.5), 1)],
)
def test_the_size_to_come_is_that_of_the_next_limit(
    weeks: tuple[Settings, list[Row]],
    factors: tuple[float | None, float],
    named: int | None,
    kind: str,
) -> None:
    """On the day on which it is reached if executions come as in the last week, bytes as ever."""
    settings, rows = weeks
    size = settings.source.stat().st_size / 1e6
    warning, critical = (None if factor is None else size * factor for factor in factors)
    made = Rule(above=Limits(warning=warning, critical=critical))
    alert = evaluated(kind, settings, AS_OF, {"database_size": made})["database_size", "all"]
    if named is None:
        assert alert.note == ""
        return
    limit = (warning, critical)[named]
    assert limit is not None
    # A week is told by full hours: it begins with the hour in which it did.
    since = _hour(AS_OF - WEEK)
    last_week = sum(since <= row["timestamp"] for row in rows)
    grows = last_week / 7 * size / len(rows)
    day = (AS_OF + timedelta(days=(limit - size) / grows)).date()
    assert f"{limit:,.0f} MB on {day}" in alert.note
    assert AS_OF.date() < day


# However the rows arrived

FINAL = AS_OF
AT = (FINAL - 3 * HOUR, FINAL - 40 * MINUTE, FINAL)
ARRIVAL_RULES = {
    name: made
    for name, made in mixed_rules().items()
    if name.split()[-1] == "confident" or name in ("cheap", "many")
}


@st.composite
def arrivals(draw: st.DrawFn) -> list[tuple[Row, int, Row | None, bool]]:
    """Executions with the refresh they come before, what they were at first, and if they go again.

    Up to forty at a time are alike, so that there are samples to judge.
    """
    groups = draw(
        st.lists(
            st.tuples(
                st.integers(1, 40),
                st.integers(0, 40 * 60),
                st.integers(0, 2),
                st.sampled_from(["stays", "stays", "changes", "moves", "goes"]),
                st.tuples(
                    st.sampled_from([None, "a", "b", ODD_NAME]),
                    st.sampled_from([True, True, False, None]),
                    st.sampled_from([1.0, 599.0, 601.0, None]),
                    st.sampled_from([0.25, 0.5, 2.0, None]),
                ),
            ),
            min_size=1,
            max_size=8,
        )
    )
    found = []
    for number, (count, age, batch, fate, values) in enumerate(groups):
        repo, success, duration, cost = values
        for n in range(count):
            row = execution(
                FINAL - age * MINUTE - n * timedelta(seconds=7),
                task_id=str(uuid.UUID(int=number << 16 | n)),
                repo=repo,
                model_tier="large" if n % 3 else None,
                success=success,
                error_type=None if success else "Timeout",
                duration_seconds=duration,
                actual_cost=cost,
                cost_estimate=0.5,
            )
            before = None
            if fate == "changes":
                before = row | {"success": not success, "actual_cost": 8.0, "repo": "before"}
            elif fate == "moves":
                before = row | {"timestamp": row["timestamp"] - 90 * MINUTE}
            found.append((row, batch, before, fate == "goes"))
    return found


def play(source: Path, refresh: Callable[[datetime], object], history: Any) -> None:
    """Let rows arrive, change and go, with a refresh in between.

    A row comes before a refresh in the state that it is changed from before the next one; late, if
    its time was up long before.
    """
    for number, at in enumerate(AT):
        now: list[Row] = []
        for row, batch, before, goes in history:
            is_last = number == len(AT) - 1
            if batch == number:
                now.append(before if before and not is_last else row)
            elif batch == number - 1 and (before or goes):
                change_source(
                    source, "DELETE FROM executions WHERE task_id = $id", id=row["task_id"]
                )
                if not goes:
                    now.append(row)
        insert(source, now)
        refresh(at)


def insert(source: Path, rows: list[Row]) -> None:
    """Add rows to a source, as they come."""
    if rows:
        names = list(rows[0])
        change_source(
            source,
            f"INSERT INTO executions ({', '.join(names)})"
            f" SELECT {', '.join(f'unnest(${name})' for name in names)}",
            **{name: [row[name] for row in rows] for name in names},
        )


@hypothesis_settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=arrivals(), seed=st.integers(0, 99))
def test_verdicts_do_not_depend_on_how_rows_arrived(
    history: list[tuple[Row, int, Row | None, bool]], seed: int
) -> None:
    """In any order, late, changed, moved or deleted: as if the final source had been read once."""
    with TemporaryDirectory() as folder:
        settings = settings_for(Path(folder))
        config = with_rules(settings.config, ARRIVAL_RULES)
        settings = replace(settings, config=with_rules(config, {}))
        make_source(settings.source)
        play(settings.source, lambda at: refresh_core(settings, at), history)
        final = [
            row
            for row, batch, _, goes in history
            if not (goes and batch < len(AT) - 1) and row["timestamp"] < FINAL
        ]
        random.Random(seed).shuffle(final)  # noqa: S311
        at_once = replace(
            settings,
            source=Path(folder) / "once.db",
            home=Home(Path(folder) / "once"),
        )
        filled(at_once.source, final)
        refresh_core(at_once, FINAL)
        want = evaluated("published", at_once, FINAL, ARRIVAL_RULES)
        assert evaluated("published", settings, FINAL, ARRIVAL_RULES) == want
        assert evaluated("database", settings, FINAL, ARRIVAL_RULES) == want
        for name, made in ARRIVAL_RULES.items():
            assert_as_expected(want, name, made, final, FINAL)


def test_every_measurement_that_is_tested_here_exists() -> None:
    """So that none is forgotten here when one is renamed."""
    assert set(RULES) <= set(get_args(Measurement))
