"""Hours that are unlike the hours alike: scores against brute force, and what they are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dbmon_pipeline.core.alerting.verdicts import Verdict
from dbmon_pipeline.core.config.rule import Limits, Rule, check_rule
from dbmon_pipeline.core.stats.anomaly import Hour, Score, lasting, scores
from dbmon_pipeline_tests.core.alerting.judging import (
    AS_OF,
    DAY,
    HOUR,
    MINUTE,
    OK,
    SHIPPED,
    TICK,
    UNKNOWN,
    WARNING,
    WEEK,
    Row,
    World,
    assert_as_expected,
    evaluated,
    hour_of,
    hours_alike,
    in_both_modes,
    opened,
    put,
    site,
    unlike,
)
from dbmon_pipeline_tests.helpers import execution, refresh_core

METRICS = ("volume", "success_rate", "duration", "cost")
OLDEST = AS_OF - 8 * WEEK - HOUR
"""In the first of the 24 hours alike."""


def hour_with(rows: list[Row]) -> Hour:
    """The sums of some executions."""
    seconds = [row["duration_seconds"] for row in rows if row["duration_seconds"] is not None]
    costs = [row["actual_cost"] for row in rows if row["actual_cost"] is not None]
    succeeded = sum(row["success"] is True for row in rows)
    return Hour(len(rows), succeeded, len(seconds), sum(seconds), len(costs), sum(costs))


def volumes(*counts: int) -> list[Hour]:
    """Hours with so many executions, of which nothing else is known."""
    return [Hour(count, count, 0, 0.0, 0, 0.0) for count in counts]


def volume(now: int, *before: int) -> float | None:
    """The score of a number of executions."""
    return scores(volumes(now)[0], volumes(*before), 1)[0].z


# Scores


hours = st.lists(
    st.tuples(
        st.sampled_from([True, True, True, False, None]),
        st.sampled_from([None, 0.0, 1.5, 30.0, 900.0]),
        st.sampled_from([None, 0.0, 0.25, 2.0]),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(now=hours, alike=st.lists(hours, min_size=24, max_size=24), min_samples=st.integers(0, 6))
def test_scores_are_those_of_brute_force(
    now: list[tuple[object, ...]], alike: list[list[tuple[object, ...]]], min_samples: int
) -> None:
    """Of rows put into the hours that are looked up one by one; hours of nothing count as such."""
    starts = list(hours_alike(World([{"timestamp": OLDEST}]), AS_OF))
    assert len(starts) == 24
    rows: list[Row] = [
        {"timestamp": at + n * MINUTE}
        | dict(zip(("success", "duration_seconds", "actual_cost"), values, strict=True))
        for at, several in ((AS_OF - HOUR, now), *zip(starts, alike, strict=True))
        for n, values in enumerate(several)
    ]
    oldest = {"success": True, "duration_seconds": 2.0, "actual_cost": 1.0}
    world = World([*rows, {"timestamp": OLDEST, **oldest}])
    alike_hours = [hour_with(rows) for rows in hours_alike(world, AS_OF).values()]
    found = scores(hour_with(world.within(AS_OF - HOUR)), alike_hours, min_samples)
    assert tuple(score.metric for score in found) == METRICS
    for score in found:
        z, samples = unlike(world, AS_OF, min_samples)[score.metric]
        assert score.samples == samples
        assert score.z == (None if z is None else pytest.approx(z, rel=1e-9, abs=1e-9)), score


def test_without_any_scatter_chance_alone_explains() -> None:
    """By hand: twice the roots of 20.375, 0.375 and 42.375, which chance scatters by one."""
    assert volume(0, *[20] * 8) == pytest.approx(2 * (0.6123724 - 4.5138675), abs=1e-6)
    assert volume(42, *[20] * 8) == pytest.approx(2 * (6.5096083 - 4.5138675), abs=1e-6)
    assert volume(20, *[20] * 8) == 0


def test_with_scatter_it_is_the_median_deviation_that_explains() -> None:
    """By hand: twice the roots are 20.0375, 24.0312 and 28.0268, the smaller step is 3.9937."""
    before = [100] * 8 + [144] * 8 + [196] * 8
    scatter = 1.4826 * 3.9937 * math.sqrt(1 + math.pi / 48)
    assert volume(0, *before) == pytest.approx((1.2247 - 24.0312) / scatter, abs=1e-3)
    assert volume(400, *before) == pytest.approx((40.0187 - 24.0312) / scatter, abs=1e-3)
    assert volume(144, *before) == 0
    # However unlike one of them is itself, it is no reason to expect what it was.
    assert volume(0, *before[:-1], 10**6) == volume(0, *before)


def test_few_hours_are_too_few() -> None:
    """Eight it takes; of a rate or a mean such with enough executions, too."""
    assert volume(0, *[20] * 7) is None
    assert volume(0, *[20] * 8) is not None
    many, few = Hour(20, 20, 20, 40.0, 20, 1.0), Hour(4, 4, 4, 8.0, 4, 1.0)

    def scored(now: Hour, alike: list[Hour], min_samples: int) -> list[str]:
        return [one.metric for one in scores(now, alike, min_samples) if one.z is not None]

    assert scored(many, [many] * 8, 5) == [*METRICS]
    assert scored(many, [many] * 7 + [few], 5) == ["volume"]
    assert scored(many, [many] * 7 + [few], 4) == [*METRICS]
    assert scored(few, [many] * 8, 5) == ["volume"]
    assert scored(few, [many] * 8, 4) == [*METRICS]


def test_of_nothing_there_is_no_mean() -> None:
    """Whatever number of samples a rule asks for: a silent hour is a matter of the volume."""
    nothing, usual = Hour(0, 0, 0, 0.0, 0, 0.0), Hour(20, 20, 20, 250.0, 20, 1.0)
    for min_samples in (0, 1, 20):
        found = scores(nothing, [usual] * 8, min_samples)
        assert [one.metric for one in found if one.z is not None] == ["volume"]
        back = scores(usual, [nothing] * 8, min_samples)
        assert [one.metric for one in back if one.z is not None] == ["volume"]


@pytest.mark.parametrize(
    ("now", "before", "both"),
    [(-4, -7, -4), (5, 4, 4), (5, -6, 0), (-5, 6, 0), (0, 9, 0), (None, 9, None), (9, None, None)],
)
def test_two_hours_say_what_both_say(
    now: float | None, before: float | None, both: float | None
) -> None:
    """The smaller deviation, or none if they contradict each other; all else is of the last one."""
    last = Score("cost", now, 1.5, 1.0, 20)
    assert lasting(last, Score("cost", before, 7.0, 2.0, 30)) == Score("cost", both, 1.5, 1.0, 20)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Rule(above=Limits(warning=3.5, critical=9)), "a warning at the most"),
        (Rule(above=Limits(warning=3.5), by="repo"), "anomaly cannot be measured by repo"),
        (Rule(), "has a warning limit"),
    ],
)
def test_an_anomaly_warns_only(rule: Rule, words: str) -> None:
    """Other rules are refused."""
    check_rule("anomaly", SHIPPED["anomaly"])
    with pytest.raises(ValueError, match=words):
        check_rule("anomaly", rule)


# Over real databases


def usual_rows(weeks: int = 4) -> list[Row]:
    """Forty executions an hour around this hour of the week, for some weeks."""
    return [
        execution(
            hour_of(AS_OF) - week * WEEK + shift * HOUR + n * MINUTE,
            success=n % 10 > 0,
            duration_seconds=8.0 + (n + shift) % 5,
            actual_cost=0.25 + (n + week) % 4 / 64,
        )
        for week in range(1, weeks + 1)
        for shift in (-2, -1, 0, 1)
        for n in range(40)
    ]


def last_rows(count: int = 40, since: timedelta = 2 * HOUR, **values: object) -> list[Row]:
    """Executions like those, or with other values, in each of the last two hours."""
    return [
        execution(
            AS_OF - ago + n * MINUTE,
            **{
                "success": n % 10 > 0,
                "duration_seconds": 8.0 + n % 5,
                "actual_cost": 0.25 + n % 4 / 64,
                **(values if ago <= since else {}),
            },
        )
        for ago in (2 * HOUR, HOUR)
        for n in range(count)
    ]


UNLIKE: dict[str, tuple[list[Row], str | None]] = {
    "as ever": (last_rows(), None),
    "fewer": (last_rows(10), "volume"),
    "failing": (last_rows(success=False), "success_rate"),
    "slow": (last_rows(duration_seconds=40.0), "duration"),
    "fast": (last_rows(duration_seconds=2.0), "duration"),
    "dear": (last_rows(actual_cost=1.0), "cost"),
    "for an hour only": (last_rows(since=HOUR, actual_cost=1.0), None),
}


@pytest.mark.parametrize(("rows", "scope"), UNLIKE.values(), ids=UNLIKE)
def test_a_figure_that_is_unlike_is_told_alone(
    tmp_path: Path, rows: list[Row], scope: str | None
) -> None:
    """Of four; both modes say the same, and nothing of it is critical."""
    rules = in_both_modes({"anomaly": replace(SHIPPED["anomaly"], min_samples=10)})
    told = evaluated("database", site(tmp_path, usual_rows() + rows, rules, None), AS_OF)
    assert_as_expected(told, rules, World(usual_rows() + rows))
    for mode in ("confident", "raw"):
        verdicts = {metric: told[f"anomaly {mode}", metric].verdict for metric in METRICS}
        assert verdicts == {metric: WARNING if metric == scope else OK for metric in METRICS}


def test_just_at_the_limit_is_no_anomaly(tmp_path: Path) -> None:
    """The next number beyond it is; and it has the limit that the rules file ships."""
    assert SHIPPED["anomaly"].limits == Limits(warning=3.5)
    rows = usual_rows() + last_rows(10)
    home = site(tmp_path, rows, {}, None)

    def told(limit: float) -> tuple[Verdict, float | None]:
        rules = {"anomaly": Rule(above=Limits(warning=limit))}
        alert = evaluated("database", home, AS_OF, rules)["anomaly", "volume"]
        return alert.verdict, alert.measured.value

    z = told(0)[1]
    assert z is not None
    assert z > 3.5
    assert told(z) == (OK, z)
    assert told(math.nextafter(z, 0)) == (WARNING, z)


def test_a_short_history_says_nothing(tmp_path: Path) -> None:
    """Two weeks are six hours alike; the third week has what is missing."""
    rules = {"anomaly": replace(SHIPPED["anomaly"], min_samples=10)}
    for weeks, verdict in ((2, UNKNOWN), (3, WARNING)):
        rows = usual_rows(weeks) + last_rows(10)
        folder = tmp_path / str(weeks)
        folder.mkdir()
        told = evaluated("database", site(folder, rows, rules, None), AS_OF)
        assert_as_expected(told, rules, World(rows))
        assert told["anomaly", "volume"].verdict is verdict


def test_hours_in_which_a_rule_was_beyond_a_limit_are_left_out(tmp_path: Path) -> None:
    """So that a bad hour does not become the usual; what is said of the file is no matter.

    A database itself has no history of checks, and so compares with all hours.
    """
    rules: Mapping[str, Rule] = {
        "success_rate": Rule(below=Limits(warning=0.5)),
        "database_size": Rule(above=Limits(warning=0)),
        "anomaly": replace(SHIPPED["anomaly"], min_samples=10),
    }
    week_before, first = AS_OF - WEEK, hour_of(AS_OF) - 3 * WEEK - HOUR
    rows = [row for row in usual_rows(3) if first <= row["timestamp"] < week_before]
    home = site(tmp_path, rows, rules, week_before - WEEK)
    failing: list[Row] = [
        execution(week_before - HOUR + n * MINUTE / 4, success=False, actual_cost=9.0)
        for n in range(240)
    ]
    put(home.source, failing)
    refresh_core(home, week_before)
    later = [row for row in usual_rows(3) if row["timestamp"] >= week_before]
    later += last_rows()
    put(home.source, later)
    refresh_core(home, AS_OF)

    known = World(rows + failing + later)
    noted = World(known.rows, hours_beyond_limit=frozenset({hour_of(week_before - 30 * MINUTE)}))
    alone = {"anomaly": rules["anomaly"]}
    published, database = (
        evaluated(kind, home, AS_OF, alone) for kind in ("published", "database")
    )
    assert_as_expected(published, alone, noted)
    assert_as_expected(database, alone, known)
    assert [len(hours_alike(known, at)) for at in (AS_OF, AS_OF - HOUR)] == [9, 8]
    for metric in METRICS:
        assert database["anomaly", metric].verdict is OK
        assert published["anomaly", metric].verdict is UNKNOWN  # One of eight hours is left out.
    with opened("published", home, AS_OF) as reader:
        assert reader.hours_beyond_limit(datetime.min, AS_OF) == noted.hours_beyond_limit
        assert (
            reader.hours_beyond_limit(week_before, week_before + TICK) == noted.hours_beyond_limit
        )
        assert reader.hours_beyond_limit(week_before - DAY, week_before) == frozenset()
        assert reader.hours_beyond_limit(week_before + TICK, AS_OF) == frozenset()
