"""What the rules say of real databases, against plain Python over the rows that were put there."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from msgspec.structs import replace

from dbmon_pipeline.core.alerting.check_history import published_since, record
from dbmon_pipeline.core.alerting.evaluate import evaluate
from dbmon_pipeline.core.alerting.verdicts import Alert, Verdict
from dbmon_pipeline.core.config.rule import Limits, Measurement, Rule, check_rule
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.open_reader import reading
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.status.status import database_status
from dbmon_pipeline_tests.core.alerting.judging import (
    AS_OF,
    CRITICAL,
    DAY,
    HOUR,
    KINDS,
    MINUTE,
    MODES,
    OK,
    RATES,
    SHIPPED,
    TICK,
    UNKNOWN,
    WARNING,
    WEEK,
    Row,
    World,
    assert_as_expected,
    by_scope,
    evaluated,
    hour_of,
    in_both_modes,
    opened,
    site,
    usual,
)
from dbmon_pipeline_tests.helpers import execution, refresh_core

RULES = in_both_modes(
    SHIPPED
    | {
        "cost_budget": Rule(above=Limits(warning=100, critical=200)),
        "success_slo": Rule(target=0.95, min_samples=20),
    }
)
"""The shipped rules, a budget and an objective; each in both modes."""
OF_EXECUTIONS = (*RATES, "cost_budget", "cost_drift", "success_slo")
"""Those that are good, poor or bad by what the executions are."""


def verdicts_of(told: dict[tuple[str, str], Alert], name: str) -> list[Verdict]:
    """What a rule says of all executions: confidently, plainly, and what both would say plainly."""
    alerts = [told[f"{name} {mode}", "all"] for mode in ("confident", "raw")]
    return [alert.verdict for alert in alerts] + [alert.raw_verdict for alert in alerts]


# Every measurement fires, and does not


def state_of_affairs(verdict: Verdict) -> list[Row]:
    """One execution a minute, for four hours: with a good, a poor or a bad value of everything."""
    kind = (OK, WARNING, CRITICAL).index(verdict)
    every = (25, 4, 2)[kind]
    return [
        execution(
            AS_OF - (n + 0.5) * MINUTE,
            success=n % every > 0,
            error_type=None if n % (every + (kind == 1)) else "Timeout",
            duration_seconds=(900.0, 30.0)[bool(n % every) if kind < 2 else n % 5 == 0],
            cost_estimate=0.25,
            actual_cost=0.25 * (1, 2, 4)[kind] + (-0.0625 if n % 2 else 0.0625),
        )
        for n in range(240)
    ]


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> dict[Verdict, Settings]:
    """A home for each."""
    return {
        verdict: site(tmp_path_factory.mktemp(verdict), state_of_affairs(verdict), RULES)
        for verdict in (OK, WARNING, CRITICAL)
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("verdict", [OK, WARNING, CRITICAL])
def test_rules_fire_and_do_not(
    states: dict[Verdict, Settings], verdict: Verdict, kind: str
) -> None:
    """On what is good, poor and bad beyond doubt both modes say the same."""
    settings = states[verdict]
    told = evaluated(kind, settings, AS_OF)
    size = settings.source.stat().st_size
    assert_as_expected(told, RULES, World(state_of_affairs(verdict), source_bytes=size))
    for name in OF_EXECUTIONS:
        assert verdicts_of(told, name) == [verdict] * 4, name
        assert told[f"{name} raw", "all"].is_recovered == (verdict is OK)
    for name in ("recent_executions", "database_size", "source_freshness"):
        assert verdicts_of(told, name) == [OK] * 4


@pytest.mark.parametrize("kind", ["published", "database"])
@pytest.mark.parametrize(
    ("factors", "verdict"),
    [((1.1, 1.2), OK), ((1, 1.2), OK), ((0.9, 1.1), WARNING), ((0.8, 0.9), CRITICAL)],
)
def test_the_size_is_that_of_the_file(
    states: dict[Verdict, Settings], factors: tuple[float, float], verdict: Verdict, kind: str
) -> None:
    """In MB of a million bytes; a file of just the limit is not beyond it."""
    settings = states[OK]
    size = settings.source.stat().st_size
    warning, critical = (size / 1e6 * factor for factor in factors)
    limits = Limits(warning=warning, critical=critical)
    rules = in_both_modes({"database_size": replace(SHIPPED["database_size"], above=limits)})
    told = evaluated(kind, settings, AS_OF, rules)
    assert_as_expected(told, rules, World(state_of_affairs(OK), source_bytes=size))
    assert verdicts_of(told, "database_size") == [verdict] * 4


def test_the_size_of_a_source_that_is_gone_is_the_last_one(
    states: dict[Verdict, Settings],
) -> None:
    """What was noted when it was read."""
    settings = states[WARNING]
    size = settings.source.stat().st_size
    aside = settings.source.rename(settings.source.with_suffix(".aside"))
    try:
        told = evaluated("published", settings, AS_OF)
    finally:
        aside.rename(settings.source)
    assert told["database_size raw", "all"].measured.value == size / 1e6


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
    states: dict[Verdict, Settings], age: timedelta, verdict: Verdict
) -> None:
    """A database that is looked into is read at that moment."""
    settings = states[OK]
    limits = Limits(warning=10800, critical=21600)
    rules = in_both_modes({"source_freshness": Rule(above=limits)})
    for kind, old in (("published", age), ("database", timedelta(0))):
        told = evaluated(kind, settings, AS_OF + age, rules)
        assert_as_expected(told, rules, World(state_of_affairs(OK), age=old))
        assert verdicts_of(told, "source_freshness") == [verdict if old else OK] * 4


def test_windows_end_where_the_source_was_read_up_to(states: dict[Verdict, Settings]) -> None:
    """So that nothing is found missing that was never looked for; the source is old, not silent."""
    settings = states[CRITICAL]
    now = evaluated("published", settings, AS_OF)
    later = evaluated("published", settings, AS_OF + 20 * HOUR)
    assert later["source_freshness raw", "all"].verdict is WARNING
    of_the_source = ("source_freshness", "database_size")
    for key, alert in later.items():
        if not key[0].startswith(of_the_source):
            assert alert == now[key]
            assert alert.measured.window_end == AS_OF


def test_a_rule_that_is_off_says_nothing(states: dict[Verdict, Settings]) -> None:
    """As the budget does until one is set."""
    settings = states[OK]
    shipped = {rule for rule, _ in evaluated("database", settings, AS_OF, SHIPPED)}
    assert shipped == {name for name, rule in SHIPPED.items() if rule.enabled}
    off = {name: replace(rule, enabled=False) for name, rule in RULES.items()}
    assert evaluated("database", settings, AS_OF, off) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_database_is_not_silent(tmp_path: Path, kind: str) -> None:
    """Nothing is known of its executions, all of its file."""
    settings = site(tmp_path, [], RULES)
    told = evaluated(kind, settings, AS_OF)
    assert_as_expected(told, RULES, World([], source_bytes=settings.source.stat().st_size))
    assert {alert.measurement for alert in told.values()} == set(get_args(Measurement))
    for alert in told.values():
        about_the_file = alert.measurement in ("database_size", "source_freshness")
        assert alert.verdict is (OK if about_the_file else UNKNOWN), alert
        assert alert.measured.samples == 0


ABOVE = Limits(warning=1)


@pytest.mark.parametrize(
    ("name", "rule", "words"),
    [
        ("success", Rule(above=ABOVE), "it names no measurement; they are success_rate, "),
        ("success_rate", Rule(), "has a warning limit, a critical one, or both"),
        ("success_rate", Rule(above=Limits()), "has a warning limit, a critical one, or both"),
        ("success_rate", Rule(above=ABOVE, windows=()), "has at least one of windows"),
        ("recent_executions", Rule(above=ABOVE, by="repo"), "cannot be measured by repo"),
        ("database_size", Rule(above=ABOVE, by="task_type"), "cannot be measured by task_type"),
        ("source_freshness", Rule(above=ABOVE, by="pool_type"), "cannot be measured by pool_type"),
        ("slow_executions", Rule(above=ABOVE, window="25h"), "over 24h at the most"),
        ("slow_executions", Rule(above=ABOVE, windows=("1h", "2d")), "over 24h at the most"),
        ("cost_drift", Rule(above=ABOVE, window="2d"), "over 24h at the most"),
    ],
)
def test_a_rule_that_cannot_be_measured_is_refused(name: str, rule: Rule, words: str) -> None:
    """One that is named by another name, too."""
    with pytest.raises(ValueError, match=words):
        check_rule(name, rule)
    if name != "success":
        with pytest.raises(ValueError, match=words):
            check_rule("mine", replace(rule, measurement=name))


def test_a_rule_needs_only_what_it_uses() -> None:
    """A plain one no windows, one that is off no limit; and each that is used here is right."""
    check_rule("slow_executions", Rule(above=ABOVE, window="24h", windows=("2d",), mode="raw"))
    check_rule("success_rate", Rule(above=ABOVE, windows=(), mode="raw"))
    check_rule("success_rate", Rule(enabled=False))
    check_rule("cost_drift", Rule(above=ABOVE, window="1d", windows=("9d",)))
    for name, rule in RULES.items():
        check_rule(name, rule)


# Silence, and hours that are unlike others

NIGHT = AS_OF.replace(hour=3)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[Row]]:
    """A home with 18 to 22 executions an hour from 8 to 18 on weekdays, then silent for two hours.

    Refreshed at night, and then as of ``AS_OF``, on a Tuesday after ten weeks.
    """
    chance = random.Random(3)  # noqa: S311
    hours = (datetime(2025, 12, 1) + n * HOUR for n in range(24 * 7 * 10 + 48))
    rows: list[Row] = [
        execution(hour + timedelta(seconds=chance.uniform(0, 3599)))
        for hour in hours
        if hour.weekday() < 5 and 8 <= hour.hour < 18
        for _ in range(chance.randint(18, 22))
    ]
    rows += [
        execution(hour_of(AS_OF) - weeks * WEEK + shift * HOUR + tick)
        for weeks in (1, 8)
        for shift in (-1, 0, 1, 2)
        for tick in (-TICK, timedelta(0))
    ]
    rows = [row for row in rows if row["timestamp"] < AS_OF - 2 * HOUR]
    settings = site(tmp_path_factory.mktemp("office"), rows, RULES, NIGHT)
    refresh_core(settings, AS_OF)
    return settings, rows


@pytest.fixture(scope="module")
def told_by_office(office: tuple[Settings, list[Row]]) -> Callable[..., Alert]:
    """What a rule about executions says as of an instant, and what brute force says."""
    settings, rows = office

    def told(kind: str, as_of: datetime, **values: Any) -> Alert:
        rules = {"recent_executions": replace(SHIPPED["recent_executions"], **values)}
        found = evaluated(kind, settings, as_of, rules)
        assert_as_expected(found, rules, World(rows, as_of))
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
        assert "usual at this time of the week are 2" in alert.note
        for mode in MODES:
            limits = Limits(warning=30, critical=1)
            assert told_by_office(kind, AS_OF, mode=mode, below=limits).verdict is CRITICAL


@pytest.mark.parametrize(
    ("at", "limit", "window", "verdict"),
    [
        ("2026-02-10T10:40", 30, "1h", OK),  # as always
        ("2026-02-10T11:47", 30, "1h", OK),  # only ten minutes are missing
        ("2026-02-10T12:22", 30, "1h", WARNING),  # a quarter of an hour is left
        ("2026-02-10T12:22", 1, "1h", OK),  # not below that limit
        ("2026-02-10T12:17", 60, "3h", OK),  # more than two hours of three
        ("2026-02-10T13:07", 60, "3h", WARNING),  # half of them
        ("2026-02-10T15:30", 60, "3h", WARNING),
        ("2026-02-09T11:00", 100, "24h", OK),  # after a Sunday
        ("2026-02-09T08:00", 1, "1h", OK),  # begins to work
        ("2026-02-08T13:00", 1, "1h", OK),  # a Sunday
        ("2026-02-06T18:20", 30, "30m", OK),  # ends to work
        ("2026-02-10T11:57", 30, "30m", OK),  # a third of half an hour is left
    ],
)
def test_fewer_than_usual_is_not_silence(
    told_by_office: Callable[..., Alert], at: str, limit: float, window: str, verdict: Verdict
) -> None:
    """What is unlikely for that hour of the week fires, what may be does not."""
    as_of = datetime.fromisoformat(at)
    alert = told_by_office("database", as_of, below=Limits(warning=limit), window=window)
    assert alert.verdict is verdict


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("as_of", "verdict", "note"),
    [
        (NIGHT, OK, "0 where 0 is usual"),
        (AS_OF - 3 * HOUR, OK, "17 where 19.5 is usual"),
        (AS_OF - HOUR, OK, "0 where 21 is usual"),
        (AS_OF, WARNING, "0 where 21 is usual"),
    ],
)
def test_two_hours_unlike_theirs_are_an_anomaly(
    office: tuple[Settings, list[Row]], as_of: datetime, verdict: Verdict, note: str, kind: str
) -> None:
    """Both modes say the same; one hour alone is none, nor are idle hours that always are."""
    settings, rows = office
    rules = in_both_modes({"anomaly": SHIPPED["anomaly"]})
    told = evaluated(kind, settings, as_of, rules)
    assert_as_expected(told, rules, World(rows, as_of))
    for mode in MODES:
        alert = told[f"anomaly {mode}", "volume"]
        assert (alert.verdict, alert.note) == (verdict, note)


def test_a_short_history_knows_no_usual(tmp_path: Path) -> None:
    """Less than six hours alike are too few to call a silence unusual; a plain comparison does."""
    begun = datetime(2026, 1, 5)
    hours_at = {
        begun + 2 * HOUR: 0,
        begun + 6 * DAY + 8 * HOUR: 0,
        begun + 7 * DAY + 16 * HOUR: 3,
        begun + 14 * DAY: 5,  # the one of two weeks and an hour ago is not known
        begun + 15 * DAY + 4 * HOUR: 6,
    }
    rows: list[Row] = [
        execution(at)
        for at in (begun + n * 5 * MINUTE for n in range(16 * 24 * 12))
        if not any(end <= at + MINUTE * 20 < end + HOUR for end in hours_at)
    ]
    rules = in_both_modes({"recent_executions": SHIPPED["recent_executions"]})
    settings = site(tmp_path, rows, rules, None)
    for hour, hours in hours_at.items():
        end = hour + 40 * MINUTE
        told = evaluated("database", settings, end)
        assert_as_expected(told, rules, World(rows, end))
        assert usual(World(rows, end), end)[2] == hours
        confident = WARNING if hours >= 6 else UNKNOWN
        assert verdicts_of(told, "recent_executions") == [confident, WARNING, WARNING, WARNING]


@pytest.mark.parametrize("kind", KINDS)
def test_usual_executions_are_those_of_the_hours_alike(
    office: tuple[Settings, list[Row]], kind: str
) -> None:
    """Mean, variance and number of hours, hour by hour over eight weeks."""
    settings, rows = office
    edges = [hour_of(AS_OF) + MINUTE * m - TICK * t for m in (0, 30) for t in (1, 0, -1)]
    ends = [AS_OF, AS_OF + 20 * MINUTE, *edges, *(AS_OF - n * 53 * HOUR for n in range(1, 10))]
    ends += [AS_OF - n * WEEK + HOUR for n in (7, 8, 9, 10, 11)]
    with opened(kind, settings, AS_OF + HOUR) as reader:
        for end in ends:
            [found] = reader.measure("usual_executions", 8 * WEEK + 2 * HOUR, end).rows
            *moments, hours = usual(World(rows, end), end)
            assert found[2] == hours, end
            assert [number or 0 for number in found[:2]] == pytest.approx(moments, rel=1e-9), end


# Costs, and the size to come


@pytest.fixture(scope="module")
def budget(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[Row]]:
    """A home with executions around a midnight, and with rules about what a day may cost."""
    midnight = datetime(2026, 2, 11)
    rows: list[Row] = [
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
    of_all = Rule(min_samples=0, window="30d", above=Limits(warning=0.9, critical=1.5))
    rules = in_both_modes(
        {
            "cost_budget": of_all,
            "by tier": replace(of_all, measurement="cost_budget", by="model_tier"),
        }
    )
    folder = tmp_path_factory.mktemp("budget")
    return site(folder, rows, rules, midnight + 20 * MINUTE), rows


@pytest.mark.parametrize("kind", KINDS)
def test_a_budget_is_that_of_the_day(budget: tuple[Settings, list[Row]], kind: str) -> None:
    """From midnight UTC on, the first microsecond included; whatever window the rule has."""
    settings, rows = budget
    as_of = datetime(2026, 2, 11, 0, 20)
    told = evaluated(kind, settings, as_of)
    assert_as_expected(told, settings.config.rules, World(rows, as_of))
    for mode in MODES:
        assert {
            scope: (alert.verdict, alert.measured.value)
            for (name, scope), alert in told.items()
            if name.endswith(mode)
        } == {
            "all": (CRITICAL, 1.75),
            "small": (WARNING, 1.25),
            "large": (OK, 0.5),
            "free": (OK, 0.0),
        }


def test_a_new_day_has_spent_nothing(budget: tuple[Settings, list[Row]]) -> None:
    """At midnight itself the budget of yesterday is over."""
    settings, rows = budget
    for as_of, spent in ((datetime(2026, 2, 11), None), (datetime(2026, 2, 11) - TICK, 64.0)):
        told = evaluated("database", settings, as_of)
        assert_as_expected(told, settings.config.rules, World(rows, as_of))
        assert told["cost_budget raw", "all"].measured.value == spent


def test_a_drift_is_told_when_its_scatter_does_not_explain_it(tmp_path: Path) -> None:
    """The same multiple of the estimate, steady and scattered."""
    rows: list[Row] = [
        execution(
            AS_OF - (n + 1) * MINUTE, repo=repo, cost_estimate=0.25, actual_cost=0.5 + by[n % 4]
        )
        for repo, by in (("steady", (-0.0625, 0.0625) * 2), ("wild", (-0.5, -0.5, -0.5, 1.5)))
        for n in range(40)
    ]
    rules = in_both_modes({"cost_drift": replace(SHIPPED["cost_drift"], by="repo")})
    told = evaluated("database", site(tmp_path, rows, rules, None), AS_OF)
    assert_as_expected(told, rules, World(rows))
    assert {alert.measured.value for alert in told.values()} == {2.0}
    assert {key: alert.verdict for key, alert in told.items()} == {
        ("cost_drift raw", "steady"): WARNING,
        ("cost_drift raw", "wild"): WARNING,
        ("cost_drift confident", "steady"): WARNING,
        ("cost_drift confident", "wild"): OK,
    }


@pytest.mark.parametrize("kind", ["published", "database"])
@pytest.mark.parametrize(
    ("factors", "named"),
    [((1.5, 3), 0), ((0.5, 1.5), 1), ((0.5, 0.9), None), ((1e6, 2e6), None), ((None, 1.5), 1)],
)
def test_the_size_to_come_is_that_of_the_next_limit(
    office: tuple[Settings, list[Row]],
    factors: tuple[float | None, float],
    named: int | None,
    kind: str,
) -> None:
    """On the day on which it is reached if executions come as in the last week, bytes as ever."""
    settings, rows = office
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
    last_week = len(World(rows).within(hour_of(AS_OF - WEEK)))
    grows = last_week / 7 * size / len(rows)
    day = (AS_OF + timedelta(days=(limit - size) / grows)).date()
    assert f"{limit:,.0f} MB on {day}" in alert.note
    assert AS_OF.date() < day


# Whoever reads


@pytest.mark.parametrize("home", ["office", CRITICAL])
def test_every_reader_says_the_same(
    office: tuple[Settings, list[Row]], states: dict[Verdict, Settings], home: str
) -> None:
    """To the last bit: the refresh before it publishes, what it wrote, and every face later."""
    settings = office[0] if home == "office" else states[CRITICAL]
    with Published(settings.home) as published, reading(published, AS_OF) as reader:
        noted = published_since(published, AS_OF - TICK)
        assert published_since(published, AS_OF) == []
        alerts = evaluate(reader, settings.config)
        shown = database_status(reader, settings.config).alerts
    for kind in KINDS:
        assert evaluated(kind, settings, AS_OF) == by_scope(alerts), kind
    rows = [record(alert, AS_OF) for alert in alerts]
    assert noted == sorted(rows, key=lambda row: (row.rule, row.scope))
    assert [(one.rule, one.scope, one.verdict, one.value, one.samples) for one in shown] == [
        (row.rule, row.scope, row.verdict, row.value, row.samples) for row in rows
    ]
