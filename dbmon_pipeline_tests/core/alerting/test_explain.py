"""Explanations of verdicts: the mix of work or the work itself, and what contributes most."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbmon_pipeline.core.alerting.explain import Explanation, contributors, explain
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline_tests.core.alerting.judging import (
    AS_OF,
    DAY,
    HOUR,
    KINDS,
    MINUTE,
    TICK,
    WEEK,
    Row,
    World,
    hour_of,
    opened,
    site,
)
from dbmon_pipeline_tests.helpers import execution

START = AS_OF - HOUR
WINDOW = (START, AS_OF)
Cell = tuple[str, str, str, str]
"""Model tier, pool type, repo and task type."""


def work(count: int, failed: int, ago: timedelta = MINUTE, **values: object) -> list[Row]:
    """So many executions, of which so many failed."""
    return [execution(AS_OF - ago - n * TICK, success=n >= failed, **values) for n in range(count)]


def explained(
    folder: Path,
    rows: list[Row],
    measurement: str = "success_rate",
    window: tuple[datetime, datetime] = WINDOW,
    **filters: str,
) -> tuple[Explanation, tuple[str, ...]]:
    """What is said of a measurement of a source with some rows, and its contributors."""
    home = site(folder, rows, {}, None)
    with opened("database", home, AS_OF) as reader:
        return (
            explain(reader, measurement, window, filters),
            contributors(reader, measurement, window, filters),
        )


def cell_of(row: Mapping[str, Any]) -> Cell:
    """The combination of dimensions that an execution belongs to."""
    tier, pool, repo, task = (
        row[name] or "unknown" for name in ("model_tier", "pool_type", "repo", "task_type")
    )
    return tier, pool, repo, task


def badness(measurement: str, row: Row) -> float:
    """How much of an execution is bad."""
    match measurement:
        case "success_rate" | "success_slo":
            return float(row["success"] is not True)
        case "error_rate":
            return float(row.get("error_type") is not None)
        case "slow_executions":
            return float(row["duration_seconds"] or 0)
        case "cost_budget" | "cost_drift":
            return float(row["actual_cost"] or 0)
    return 1.0


def kitagawa(measurement: str, now: list[Row], before: list[Row]) -> tuple[float, float]:
    """The change by the mix and by the rates, from the averages of shares and rates."""
    counts = [Counter(map(cell_of, rows)) for rows in (before, now)]
    sums: list[defaultdict[Cell, float]] = []
    for rows in (before, now):
        sums.append(defaultdict(float))
        for row in rows:
            sums[-1][cell_of(row)] += badness(measurement, row)
    mix, rate = [], []
    for cell in counts[0] | counts[1]:
        share, new_share = (count[cell] / count.total() for count in counts)
        rates = [sums[n][cell] / counts[n][cell] for n in (0, 1) if counts[n][cell]]
        mix.append((new_share - share) * sum(rates) / len(rates))
        if len(rates) == 2:
            rate.append((rates[1] - rates[0]) * (share + new_share) / 2)
    return math.fsum(mix), math.fsum(rate)


# The mix, and the rates


def test_another_mix_is_all_mix(tmp_path: Path) -> None:
    """Each tier fails as often as ever: there is only more of the one that always did."""
    rows = [
        *work(300, 30, 2 * DAY, model_tier="small"),
        *work(100, 50, 2 * DAY, model_tier="large"),
        *work(100, 10, model_tier="small"),
        *work(100, 50, model_tier="large"),
    ]
    found, _ = explained(tmp_path, rows)
    assert (found.value, found.usual) == (0.3, 0.2)
    assert found.change_by_mix == pytest.approx(0.1, abs=1e-12)
    assert found.change_by_rate == pytest.approx(0, abs=1e-12)


def test_a_fall_of_one_tier_is_all_rate(tmp_path: Path) -> None:
    """The mix is the same, and it is named which tier it is and what is usual for it."""
    rows = [
        *work(300, 30, 2 * DAY, model_tier="small"),
        *work(100, 10, 2 * DAY, model_tier="large"),
        *work(150, 15, model_tier="small"),
        *work(50, 40, model_tier="large"),
    ]
    found, _ = explained(tmp_path, rows)
    assert (found.value, found.usual) == (0.275, 0.1)
    assert found.change_by_mix == pytest.approx(0, abs=1e-12)
    assert found.change_by_rate == pytest.approx(0.175, abs=1e-12)
    worst, other = found.contributions
    assert (worst["model_tier"], worst["executions"]) == ("large", 50)
    assert (worst["rate"], worst["usual_rate"]) == (0.8, 0.1)
    assert [worst["share"], other["share"]] == [pytest.approx(40 / 55), pytest.approx(15 / 55)]
    assert (other["model_tier"], other["rate"], other["usual_rate"]) == ("small", 0.1, 0.1)


def test_new_and_vanished_work_changes_the_mix(tmp_path: Path) -> None:
    """It has no rate of its own to compare with."""
    rows = [
        *work(100, 10, 2 * DAY, repo="stays"),
        *work(100, 0, 2 * DAY, repo="vanishes"),
        *work(100, 10, repo="stays"),
        *work(100, 60, repo="new"),
    ]
    found, _ = explained(tmp_path, rows)
    assert found.change_by_rate == pytest.approx(0, abs=1e-12)
    assert found.change_by_mix == pytest.approx(0.35 - 0.05)
    assert [(one["repo"], one["usual_rate"]) for one in found.contributions] == [
        ("new", None),
        ("stays", 0.1),
    ]


rows_of_work = st.lists(
    st.builds(
        execution,
        st.sampled_from(
            [AS_OF - n * TICK for n in range(1, 4)] + [START - n * DAY for n in (1, 3)]
        ),
        repo=st.sampled_from([None, "a", "b"]),
        model_tier=st.sampled_from(["small", "large"]),
        success=st.sampled_from([True, False, None]),
        error_type=st.sampled_from([None, "Timeout"]),
        duration_seconds=st.sampled_from([None, 0.0, 1.5, 900.0]),
        actual_cost=st.sampled_from([None, 0.0, 0.25, 2.0]),
    ),
    max_size=60,
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=rows_of_work,
    measurement=st.sampled_from(
        ["success_rate", "success_slo", "error_rate", "slow_executions", "cost_budget"]
    ),
)
def test_mix_and_rates_add_up_to_the_difference(rows: list[Row], measurement: str) -> None:
    """Of any work, for every measurement; each part is what brute force says."""
    with TemporaryDirectory() as folder:
        found, _ = explained(Path(folder), rows, measurement)
    now = [row for row in rows if row["timestamp"] >= START]
    before = [row for row in rows if row["timestamp"] < START]
    rates = [
        math.fsum(badness(measurement, row) for row in some) / len(some) if some else None
        for some in (now, before)
    ]
    assert [found.value, found.usual] == [
        one if one is None else pytest.approx(one) for one in rates
    ]
    if rates[0] is None or rates[1] is None:
        assert (found.change_by_mix, found.change_by_rate) == (None, None)
        return
    assert found.change_by_mix is not None
    assert found.change_by_rate is not None
    mix, rate = kitagawa(measurement, now, before)
    assert (found.change_by_mix, found.change_by_rate) == pytest.approx((mix, rate), abs=1e-9)
    total = found.change_by_mix + found.change_by_rate
    assert total == pytest.approx(rates[0] - rates[1], abs=1e-9)


# What contributes most


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[Row]]:
    """A home with a dozen repositories; one fails most often, another one costs most."""
    rows = [
        *(row for n in range(12) for row in work(20, n, repo=f"repo{n:02}", error_type="Flaky")),
        *work(40, 30, 2 * MINUTE, repo="worst", task_type="refactor", error_type="Timeout"),
        *work(5, 0, 3 * MINUTE, repo="dear", actual_cost=64.0, duration_seconds=1.0),
        *work(40, 1, 9 * HOUR, repo="worst", task_type="refactor"),
        *work(40, 40, HOUR + TICK, repo="just before"),
        *work(40, 40, -MINUTE, repo="just after"),
    ]
    return site(tmp_path_factory.mktemp("crowded"), rows, {}), rows


@pytest.mark.parametrize("kind", KINDS)
def test_the_worst_are_named_first(crowded: tuple[Settings, list[Row]], kind: str) -> None:
    """At most ten of them, and none in which nothing is bad."""
    home, rows = crowded
    with opened(kind, home, AS_OF) as reader:
        found = explain(reader, "success_rate", WINDOW, {})
        lines = contributors(reader, "success_rate", WINDOW, {})
        dearest = contributors(reader, "cost_budget", WINDOW, {})
    failed = Counter(row["repo"] for row in World(rows).within(START) if not row["success"])
    assert failed.total() == 96
    assert [
        (one["repo"], one["share"], one["rate"], one["usual_rate"]) for one in found.contributions
    ] == [
        ("worst", 30 / 96, 0.75, 1 / 40),
        *((f"repo{n:02}", n / 96, n / 20, None) for n in range(11, 2, -1)),
    ]
    assert lines == ("task_type bug_fix: 69%", "repo worst: 31%", "task_type refactor: 31%")
    assert dearest[:2] == ("task_type bug_fix: 100%", "repo dear: 99%")


@pytest.mark.parametrize("kind", KINDS)
def test_a_scope_is_explained_by_itself(crowded: tuple[Settings, list[Row]], kind: str) -> None:
    """What other work does is no part of it."""
    with opened(kind, crowded[0], AS_OF) as reader:
        found = explain(reader, "success_rate", WINDOW, {"repo": "repo05"})
        lines = contributors(reader, "success_rate", WINDOW, {"repo": "repo05"})
        nothing = contributors(reader, "success_rate", WINDOW, {"repo": "repo00"})
    assert (found.value, found.usual, found.change_by_mix) == (5 / 20, None, None)
    assert [one["share"] for one in found.contributions] == [1]
    assert lines == ("repo repo05: 100%", "task_type bug_fix: 100%")
    assert nothing == ()
    [failures] = found.failures
    assert (failures["error_type"], failures["occurrences"]) == ("Flaky", 20)


@pytest.mark.parametrize("kind", KINDS)
def test_failures_are_told_with_their_newest_tasks(
    crowded: tuple[Settings, list[Row]], kind: str
) -> None:
    """Three of each error type; what only failed before or after the window is not among them."""
    home, rows = crowded
    with opened(kind, home, AS_OF) as reader:
        found = explain(reader, "error_rate", WINDOW, {}).failures
        one_day = explain(reader, "error_rate", (AS_OF - DAY, AS_OF), {}).failures
        longer = explain(reader, "error_rate", (AS_OF - DAY - TICK, AS_OF), {}).failures
    assert [(one["error_type"], one["occurrences"]) for one in found] == [
        ("Flaky", 240),
        ("Timeout", 40),
    ]
    newest = [str(row["task_id"]) for row in rows if row.get("error_type") == "Timeout"][:3]
    assert found[1]["newest_task_ids"] == ", ".join(newest)
    assert {one["error_type"]: one["occurrences"] for one in one_day} == {
        "Flaky": 240,
        "Timeout": 40,
        None: 41,
    }
    assert longer == []  # No executions are published of so long ago.


def test_what_is_usual_is_that_of_the_week_before(tmp_path: Path) -> None:
    """Up to where the window begins, and back to the full hour in which that week does."""
    edge = hour_of(START - WEEK)
    rows: list[Row] = [
        execution(at, success=success)
        for at, success in (
            (START, False),
            (START - TICK, True),
            (edge, False),
            (edge, True),
            (edge, True),
            (edge - TICK, False),
        )
    ]
    found, _ = explained(tmp_path, rows)
    assert (found.value, found.usual) == (1.0, 0.25)


def test_nothing_can_be_said_of_nothing(tmp_path: Path) -> None:
    """An empty window has no rate, and nothing that contributes."""
    found, lines = explained(tmp_path, work(5, 5, DAY))
    assert found == Explanation(None, 1.0, None, None, [], [])
    assert lines == ()


@pytest.mark.parametrize("measurement", ["cost_budget", "cost_drift"])
def test_costs_that_cancel_out_have_no_shares(tmp_path: Path, measurement: str) -> None:
    """A negative cost is counted as a warning of bad data, but it must not stop an explanation."""
    rows = [*work(1, 0, repo="a", actual_cost=-2.0), *work(1, 0, repo="b", actual_cost=2.0)]
    found, lines = explained(tmp_path, rows, measurement)
    assert (found.value, found.contributions, lines) == (0.0, [], ())
