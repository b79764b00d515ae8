"""Measurements by dimension over executions of all kinds, and where a rate looks for samples."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from typing import Any, get_args

import pytest
from msgspec.structs import replace

from dbmon_pipeline.core.alerting.verdicts import Measured, Verdict
from dbmon_pipeline.core.config.rule import Dimension, Limits, Rule
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline_tests.core.alerting.judging import (
    AS_OF,
    CRITICAL,
    HOUR,
    KINDS,
    MINUTE,
    OK,
    RATES,
    SHIPPED,
    TICK,
    UNKNOWN,
    WARNING,
    Row,
    World,
    assert_as_expected,
    evaluated,
    in_both_modes,
    site,
)
from dbmon_pipeline_tests.helpers import execution

ODD_NAME = 'o\'brien "the" \N{SNOWMAN}\N{ROCKET}; DROP TABLE --'


# By every dimension, over executions of all kinds


def mixed_rows() -> list[Row]:
    """Executions of 30 hours: some scopes are bad, some are rare, names are missing or odd."""
    chance = random.Random(7)  # noqa: S311

    def some(*values: object) -> Any:
        return chance.choice(values)

    ages = [timedelta(seconds=chance.expovariate(1 / 14400)) for _ in range(500)]
    ages += [timedelta(seconds=chance.uniform(0, 108000)) for _ in range(150)]
    edges = [MINUTE * m for m in (15, 30, 60, 120, 180, 360, 420, 720, 1440)]
    edges.append(AS_OF - AS_OF.replace(hour=0, minute=0, second=0))
    ages += [age + tick for age in edges for tick in (-TICK, timedelta(0), TICK)]
    rows: list[Row] = []
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
    bases = {
        "success_rate": Rule(below=Limits(warning=0.85, critical=0.7)),
        "error_rate": Rule(above=Limits(warning=0.1, critical=0.25)),
        "slow_executions": Rule(above=Limits(warning=0.1, critical=0.3)),
        "cost_budget": Rule(above=Limits(warning=2, critical=20)),
        "cost_drift": Rule(above=Limits(warning=1.5, critical=3)),
    }
    rules: dict[str, Rule] = {}
    for name, base in bases.items():
        made = replace(base, measurement=name)
        rules |= {f"{name} by {by}": replace(made, by=by) for by in get_args(Dimension)}
        rules[name] = made
        rules[f"odd {name}"] = replace(
            made,
            min_samples=0,
            confidence=0.95,
            window="17m",
            windows=("12h", "15m", "90m"),
            target_seconds=60,
            recovery=0.05,
        )
        if name in RATES:
            halves = ("10m", "90m", "5h")
            rules[f"halves of {name}"] = replace(made, windows=halves, min_samples=20, by="repo")
    drift = Rule(measurement="cost_drift", below=Limits(warning=1.2), window="24h", by="repo")
    above = Rule(measurement="success_rate", above=Limits(critical=0.9), min_samples=60)
    return in_both_modes(rules | {"cheap": drift, "too good": above})


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[Row]]:
    """A home with executions of all kinds, and those."""
    rows = mixed_rows()
    return site(tmp_path_factory.mktemp("mixed"), rows, mixed_rules()), rows


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
    told = evaluated(kind, settings, AS_OF + later)
    assert_as_expected(told, settings.config.rules, World(rows, min(AS_OF, AS_OF + later)))
    verdicts = Counter(alert.verdict for alert in told.values())
    assert min(verdicts[verdict] for verdict in Verdict) > 2


def test_one_scope_fires_while_the_others_do_not(mixed: tuple[Settings, list[Row]]) -> None:
    """Each is judged for itself; one without a name is unknown, and any name is just a name."""
    settings, _ = mixed
    rules = {"success_rate": replace(SHIPPED["success_rate"], by="repo")}
    told = evaluated("published", settings, AS_OF, rules)
    verdicts = {scope: alert.verdict for (_, scope), alert in told.items()}
    assert verdicts == {
        "calm": OK,
        "broken": CRITICAL,
        ODD_NAME: CRITICAL,
        "unknown": OK,
        "a": OK,
        "b": OK,
    }


def test_the_order_of_windows_is_no_matter(mixed: tuple[Settings, list[Row]]) -> None:
    """Nor whether one is named twice."""
    settings, _ = mixed
    orders = (("30m", "1h", "3h", "6h"), ("6h", "30m", "3h", "1h", "60m"))
    one, other = (
        evaluated("database", settings, AS_OF, {"success_rate": replace(base, windows=windows)})
        for windows in orders
        for base in [replace(SHIPPED["success_rate"], by="repo")]
    )
    assert one == other


# Chance, and where else to look


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[Row]]:
    """A home whose repositories have few executions, some of which succeed."""
    rows: list[Row] = [
        execution(AS_OF - (n + 1) * MINUTE, success=n < good, repo=f"{good} of {samples}")
        for good, samples in ((16, 20), (7, 12), (6, 12), (2, 12))
        for n in range(samples)
    ]
    ten = replace(SHIPPED["success_rate"], by="repo", min_samples=10)
    rules = in_both_modes({"success_rate": ten})
    return site(tmp_path_factory.mktemp("few"), rows, rules), rows


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("good", "samples", "confident", "raw"),
    [
        (16, 20, OK, WARNING),  # 80 % are below 85 %, and would be half of all days.
        (7, 12, OK, CRITICAL),
        (6, 12, WARNING, CRITICAL),
        (2, 12, CRITICAL, CRITICAL),
    ],
)
def test_what_may_be_chance_is_told_by_the_plain_value_alone(
    few: tuple[Settings, list[Row]],
    good: int,
    samples: int,
    confident: Verdict,
    raw: Verdict,
    kind: str,
) -> None:
    """The more is wrong, the fewer executions it takes to be sure of that."""
    settings, rows = few
    told = evaluated(kind, settings, AS_OF)
    assert_as_expected(told, settings.config.rules, World(rows))
    for mode, verdict in (("confident", confident), ("raw", raw)):
        alert = told[f"success_rate {mode}", f"{good} of {samples}"]
        assert (alert.verdict, alert.raw_verdict) == (verdict, raw)
        assert (alert.measured.value, alert.measured.samples) == (good / samples, samples)
        assert not alert.is_recovered


def ended(repo: str, *groups: tuple[int, float], success: bool = False) -> list[Row]:
    """So many executions of a repository, so many hours ago."""
    return [
        execution(AS_OF - hours * HOUR + n * timedelta(seconds=1), repo=repo, success=success)
        for count, hours in groups
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[Row]]:
    """A home whose repositories have executions at different times."""
    rows = [
        *ended("half a day", (9, 5), (3, 8)),
        *ended("a day", (5, 5), (5, 20)),
        *ended("too few", (5, 1), (4, 23.9)),
        *ended("too late", (9, 1), (40, 24.1)),
        *ended("once bad", (50, 8)),
        *ended("once bad", (10, 2), success=True),
        *ended("always bad", (10, 2), (90, 8)),
        *ended("in between", (9, 0.2), (2, 1.9), (40, 2.9)),
        *ended("long over", (9, 0.2), (2, 1.9), success=True),
        *ended("long over", (80, 2.9)),
    ]
    return site(tmp_path_factory.mktemp("wide"), rows, SHIPPED), rows


@pytest.mark.parametrize("kind", ["published", "database"])
def test_a_window_grows_for_want_of_samples(wide: tuple[Settings, list[Row]], kind: str) -> None:
    """By full hours, up to a day, until there are enough; never to find what a window has not."""
    settings, rows = wide
    base = replace(SHIPPED["success_rate"], by="repo", measurement="success_rate", min_samples=10)
    rules = {"shipped": base, "a day": replace(base, windows=("24h",))}
    told = evaluated(kind, settings, AS_OF, rules)
    assert_as_expected(told, rules, World(rows))
    found = {
        scope: (alert.verdict, alert.measured.samples, AS_OF - alert.measured.window_start)
        for (name, scope), alert in told.items()
        if name == "shipped" and alert.measured.window_start
    }
    assert found == {
        "half a day": (CRITICAL, 12, 8 * HOUR),
        "a day": (CRITICAL, 10, 20 * HOUR),
        "too few": (UNKNOWN, 9, 24 * HOUR),
        "too late": (UNKNOWN, 9, 24 * HOUR),
        "once bad": (OK, 10, 2 * HOUR),
        "always bad": (CRITICAL, 10, 2 * HOUR),
        "in between": (CRITICAL, 11, 2 * HOUR),
        "long over": (OK, 11, 2 * HOUR),
    }
    assert told["a day", "once bad"].measured.samples == 60


@pytest.mark.parametrize("kind", ["published", "database"])
def test_without_a_dimension_the_whole_day_is_looked_at(
    wide: tuple[Settings, list[Row]], kind: str
) -> None:
    """Though the windows of the rule have no execution at all."""
    settings, rows = wide
    rules = {"success_rate": replace(SHIPPED["success_rate"], windows=("1m", "2m"), window="1m")}
    told = evaluated(kind, settings, AS_OF, rules)
    assert_as_expected(told, rules, World(rows))
    alert = told["success_rate", "all"]
    assert alert.measured.window_start == AS_OF - HOUR
    assert (alert.raw, alert.raw_verdict) == (Measured(None, 0, AS_OF - MINUTE, AS_OF), UNKNOWN)
