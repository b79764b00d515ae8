"""Error budgets: how fast failures burn one, over which windows that is told, when it is over."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbmon_pipeline.core.alerting.verdicts import Verdict
from dbmon_pipeline.core.config.rule import Limits, Rule, check_rule
from dbmon_pipeline.core.stats.burn_rate import BURNS, burn_rate, can_fire
from dbmon_pipeline_tests.core.alerting.judging import (
    AS_OF,
    CRITICAL,
    DAY,
    HOUR,
    MINUTE,
    OK,
    TICK,
    UNKNOWN,
    WARNING,
    Row,
    World,
    assert_as_expected,
    evaluated,
    hour_of,
    in_both_modes,
    site,
)
from dbmon_pipeline_tests.helpers import execution

TARGET = 1 - 1 / 32
"""With it burn rates are whole numbers; all failures together are 32 times too many."""
FAST, SLOW, SLOWEST = (timedelta(hours=hours) for hours in (1, 6, 72))


def test_the_pairs_of_windows_are_those_of_the_workbook() -> None:
    """Its table of recommended parameters, and the parts of a budget of 30 days that they are."""
    assert [(burn.window, burn.short, burn.limit, burn.is_critical) for burn in BURNS] == [
        (FAST, 5 * MINUTE, 14.4, True),
        (SLOW, 30 * MINUTE, 6.0, True),
        (SLOWEST, SLOW, 1.0, False),
    ]
    for burn, part in zip(BURNS, (0.02, 0.05, 0.1), strict=True):
        assert burn.limit * (burn.window / (30 * DAY)) == pytest.approx(part)


@given(failed=st.integers(0, 500), samples=st.integers(1, 500), budget=st.floats(0.0001, 0.5))
def test_a_burn_rate_says_when_the_budget_is_used_up(
    failed: int, samples: int, budget: float
) -> None:
    """At a rate of 1 just at the end of the period: so many failures as the target allows."""
    failed = min(failed, samples)
    rate = burn_rate(1 - failed / samples, 1 - budget)
    assert rate * budget * samples == pytest.approx(failed, abs=1e-6)


@pytest.mark.parametrize(
    ("target", "expected"),
    [(0.5, False), (0.93, False), (0.9305, False), (0.9306, True), (0.95, True), (0.9999, True)],
)
def test_a_target_can_fire_if_failures_alone_are_fast_enough(target: float, expected: bool) -> None:
    """From 14.4 times the budget on: 93.06 %."""
    assert can_fire(target) is expected
    assert can_fire(target) is (burn_rate(0, target) > 14.4)


def test_at_the_border_it_cannot_fire() -> None:
    """A budget of just a part in 14.4 is burnt just as fast as is allowed, never faster."""
    border = 1 - 1 / 14.4
    around = [border]
    for side in (0.0, 1.0):
        at = border
        around += [at := math.nextafter(at, side) for _ in range(40)]
    for target in around:
        assert can_fire(target) is (burn_rate(0, target) > 14.4), target
    assert {can_fire(min(around)), can_fire(max(around))} == {False, True}


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Rule(), "success_slo needs a target"),
        (Rule(target=0.93), "with a target of 0.93 it could never fire"),
        (Rule(target=0.93, enabled=False), "with a target of 0.93 it could never fire"),
        (Rule(target=0.99, above=Limits(warning=1)), "follow from its target"),
        (Rule(target=0.99, by="repo"), "success_slo cannot be measured by repo"),
    ],
)
def test_an_objective_that_says_nothing_is_refused(rule: Rule, words: str) -> None:
    """When the rules are read, not in the night in which it should have fired."""
    check_rule("success_slo", Rule(target=0.94))
    check_rule("success_slo", Rule(enabled=False))
    with pytest.raises(ValueError, match=words):
        check_rule("success_slo", rule)


def every(n: int, since: timedelta, until: timedelta = timedelta(0)) -> Callable[[int], bool]:
    """Whether an execution of so many minutes ago fails: every so-many-th in a stretch of time."""
    return lambda ago: ago % n == 0 and until <= ago * MINUTE < since


CASES: dict[str, tuple[Callable[[int], bool], Verdict, timedelta, float]] = {
    "no failure": (every(1, timedelta(0)), OK, FAST, 14.4),
    "as many as are allowed": (every(32, SLOWEST), OK, FAST, 14.4),
    "a few more for days": (every(24, SLOWEST), WARNING, SLOWEST, 1.0),
    "a few more for days, until this morning": (every(24, SLOWEST, SLOW), OK, FAST, 14.4),
    "many for hours": (every(4, SLOW), CRITICAL, SLOW, 6.0),
    "many for hours, over for half an hour": (every(2, SLOW, 30 * MINUTE), WARNING, SLOWEST, 1.0),
    "half of the last hour": (every(2, FAST), CRITICAL, FAST, 14.4),
    "half of the last hour, over for minutes": (every(2, FAST, 5 * MINUTE), OK, FAST, 14.4),
    "only the last minutes": (every(1, 5 * MINUTE), OK, FAST, 14.4),
    "everything": (every(1, SLOWEST), CRITICAL, FAST, 14.4),
}


@pytest.mark.parametrize(("fails", "verdict", "window", "limit"), CASES.values(), ids=CASES)
def test_the_pair_that_says_the_worst_is_told(
    tmp_path: Path,
    fails: Callable[[int], bool],
    verdict: Verdict,
    window: timedelta,
    limit: float,
) -> None:
    """One execution a minute for three days; both modes say the same.

    Three days are told by full hours, so the first of them begins with the hour that it lies in.
    """
    edge = hour_of(AS_OF - SLOWEST)
    rows: list[Row] = [
        execution(AS_OF - ago * MINUTE - MINUTE / 2, success=not fails(ago)) for ago in range(4320)
    ]
    rows += [execution(at, success=verdict is OK) for at in (edge - TICK, edge)]
    rules = in_both_modes({"success_slo": Rule(target=TARGET)})
    told = evaluated("database", site(tmp_path, rows, rules, None), AS_OF)
    assert_as_expected(told, rules, World(rows))
    for alert in told.values():
        assert alert.verdict is verdict
        assert alert.measured.window_start == AS_OF - window
        assert alert.limit == limit
        assert alert.is_recovered is (verdict is OK)
        assert "the target is 96.88% over 30 days" in alert.note


@pytest.mark.parametrize(
    ("failed", "samples", "good", "verdict"),
    [
        # 45 % are 14.4 times a thirty-second, three sixteenths are six times as many.
        (45, 100, 2 * HOUR, OK),
        (46, 100, 2 * HOUR, CRITICAL),
        (100, 100, 2 * HOUR, CRITICAL),
        (30, 160, 7 * HOUR, OK),
        (31, 160, 7 * HOUR, CRITICAL),
    ],
)
def test_just_as_fast_as_allowed_is_allowed(
    tmp_path: Path, failed: int, samples: int, good: timedelta, verdict: Verdict
) -> None:
    """The hours before were good, so that no longer pair speaks."""
    rows: list[Row] = [
        *(execution(AS_OF - MINUTE - n * TICK, success=n >= failed) for n in range(samples)),
        *(execution(AS_OF - good - n * TICK) for n in range(5000)),
    ]
    rules = {"success_slo": Rule(target=TARGET)}
    told = evaluated("database", site(tmp_path, rows, rules, None), AS_OF)
    assert_as_expected(told, rules, World(rows))
    assert told["success_slo", "all"].verdict is verdict


@pytest.mark.parametrize(
    ("count", "ago", "verdict", "window"),
    [
        (19, MINUTE, UNKNOWN, FAST),
        (20, MINUTE, CRITICAL, FAST),
        (20, 5 * MINUTE, CRITICAL, FAST),
        (20, 5 * MINUTE + TICK, CRITICAL, SLOW),  # none in the last five minutes
        (20, 30 * MINUTE + TICK, WARNING, SLOWEST),
        (20, SLOW + TICK, UNKNOWN, FAST),
    ],
)
def test_too_few_samples_in_a_window_say_nothing(
    tmp_path: Path, count: int, ago: timedelta, verdict: Verdict, window: timedelta
) -> None:
    """Though all of them failed; another pair of windows may have enough."""
    rows: list[Row] = [execution(AS_OF - ago, success=False) for _ in range(count)]
    rules = {"success_slo": Rule(target=TARGET, min_samples=20)}
    told = evaluated("database", site(tmp_path, rows, rules, None), AS_OF)
    assert_as_expected(told, rules, World(rows))
    alert = told["success_slo", "all"]
    assert (alert.verdict, alert.measured.window_start) == (verdict, AS_OF - window)
