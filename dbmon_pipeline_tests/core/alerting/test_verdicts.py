"""Verdicts on values: limits on both sides, margins of recovery, and rates over windows."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbmon_pipeline.core.alerting.verdicts import (
    Measured,
    Verdict,
    compare,
    describe_rule,
    is_recovered,
    judge_rate,
    judge_raw,
)
from dbmon_pipeline.core.config.rule import Limits, Rule

END = datetime(2026, 2, 10, 13, 37, 21)
OK, WARNING, CRITICAL, UNKNOWN = (
    Verdict.OK,
    Verdict.WARNING,
    Verdict.CRITICAL,
    Verdict.INSUFFICIENT_DATA,
)
Z = 2.5758293035489004
"""The 99.5 % quantile of the normal distribution, as tables have it."""

BELOW = Rule(below=Limits(warning=0.85, critical=0.7))
ABOVE = Rule(above=Limits(warning=0.1, critical=0.25))


def window(count: int, samples: int, hours: float = 1) -> Measured:
    """A rate that was seen over the last so many hours."""
    value = count / samples if samples else None
    return Measured(value, samples, END - timedelta(hours=hours), END)


def is_sure(rule: Rule, measured: Measured, limit: float) -> bool:
    """Whether a score test, corrected for continuity, refuses that the true rate is as good."""
    assert measured.value is not None
    beyond = limit - measured.value if rule.below else measured.value - limit
    return beyond - 0.5 / measured.samples > Z * math.sqrt(limit * (1 - limit) / measured.samples)


def expected_verdict(rule: Rule, windows: list[Measured]) -> Verdict:
    """What a confident rule is documented to say: any window is sure, and the latest agrees."""
    enough = [w for w in windows if w.value is not None and w.samples >= rule.min_samples]
    if not enough:
        return UNKNOWN
    latest = enough[0].value or 0.0
    for verdict, limit in ((CRITICAL, rule.limits.critical), (WARNING, rule.limits.warning)):
        if limit is None or not (latest < limit if rule.below else latest > limit):
            continue
        if any(is_sure(rule, w, limit) for w in enough):
            return verdict
    return OK


@pytest.mark.parametrize(
    ("limits", "value", "below", "above"),
    [
        # Below: the smaller limit is the critical one; above: the larger one.
        ((2, 1), 3, OK, None),
        ((2, 1), 2, OK, None),
        ((2, 1), math.nextafter(2, 0), WARNING, None),
        ((2, 1), 1, WARNING, None),
        ((2, 1), math.nextafter(1, 0), CRITICAL, None),
        ((2, 1), -1, CRITICAL, None),
        ((1, 2), 0, None, OK),
        ((1, 2), 1, None, OK),
        ((1, 2), math.nextafter(1, 2), None, WARNING),
        ((1, 2), 2, None, WARNING),
        ((1, 2), math.nextafter(2, 3), None, CRITICAL),
        ((1, 2), 1e300, None, CRITICAL),
        ((1, None), math.nextafter(1, 0), WARNING, OK),
        ((1, None), 1, OK, OK),
        ((1, None), math.nextafter(1, 2), OK, WARNING),
        ((1, None), -1e300, WARNING, OK),
        ((None, 1), math.nextafter(1, 0), CRITICAL, OK),
        ((None, 1), 1, OK, OK),
        ((None, 1), math.nextafter(1, 2), OK, CRITICAL),
        # One limit for both: there is no warning.
        ((1, 1), math.nextafter(1, 0), CRITICAL, OK),
        ((1, 1), math.nextafter(1, 2), OK, CRITICAL),
        # Zero is a limit, not none.
        ((0, None), math.nextafter(0, 1), OK, WARNING),
        ((None, 0), -1, CRITICAL, OK),
    ],
)
def test_a_value_is_wrong_beyond_a_limit_and_not_at_it(
    limits: tuple[float | None, float | None],
    value: float,
    below: Verdict | None,
    above: Verdict | None,
) -> None:
    """The next number beyond it is."""
    given_limits = Limits(warning=limits[0], critical=limits[1])
    for rule, verdict in (("below", below), ("above", above)):
        if verdict is None:
            continue
        made = Rule(below=given_limits) if rule == "below" else Rule(above=given_limits)
        assert made.direction == rule
        assert compare(made, value) is verdict
        assert judge_raw(made, Measured(value, 0, None, None)) is verdict


@pytest.mark.parametrize("rule", [BELOW, ABOVE, Rule(enabled=False)])
def test_nothing_is_said_of_nothing(rule: Rule) -> None:
    """A rate of no executions is no rate of 0 %."""
    assert judge_raw(rule, Measured(None, 0, None, None)) is UNKNOWN


def test_a_rule_without_limits_finds_nothing_wrong() -> None:
    """As one that is not enabled may be."""
    assert compare(Rule(enabled=False), 1e9) is OK
    assert is_recovered(Rule(enabled=False), -1e9)


def test_verdicts_are_in_order() -> None:
    """What is not known is better than nothing that is."""
    assert sorted(Verdict, key=lambda verdict: verdict.badness) == [UNKNOWN, OK, WARNING, CRITICAL]
    assert [verdict for verdict in Verdict if verdict.badness > 0] == [WARNING, CRITICAL]


@pytest.mark.parametrize(
    ("rule", "edge"),
    [
        (Rule(below=Limits(warning=8, critical=4), recovery=0.5), 8.5),
        (Rule(below=Limits(critical=4), recovery=0.5), 4.5),
        (Rule(below=Limits(warning=8)), 8.0),
        (Rule(above=Limits(warning=4, critical=8), recovery=0.5), 3.5),
        (Rule(above=Limits(critical=8), recovery=0.5), 7.5),
        (Rule(above=Limits(warning=4)), 4.0),
    ],
)
def test_a_value_has_recovered_from_the_margin_on(rule: Rule, edge: float) -> None:
    """By the margin better than where it begins to be wrong; at that very value, too."""
    better = math.inf if rule.below else -math.inf
    assert is_recovered(rule, edge)
    assert is_recovered(rule, math.nextafter(edge, better))
    assert not is_recovered(rule, math.nextafter(edge, -better))
    assert is_recovered(rule, None)


@given(
    value=st.floats(-10, 10), recovery=st.floats(0, 5), limit=st.floats(-5, 5), below=st.booleans()
)
def test_what_is_wrong_has_not_recovered(
    value: float, recovery: float, limit: float, below: bool
) -> None:
    """So that an incident cannot end while its rule still fires."""
    limits = Limits(warning=limit)
    rule = Rule(below=limits, recovery=recovery) if below else Rule(above=limits, recovery=recovery)
    assert not (is_recovered(rule, value) and compare(rule, value).badness > 0)


def test_too_few_samples_anywhere_are_too_few() -> None:
    """Though their sum would do; what is told is the longest window."""
    windows = [window(0, 2, 0.5), window(0, 5), window(0, 9, 6)]
    assert judge_rate(BELOW, windows) == (UNKNOWN, windows[-1])
    assert judge_rate(BELOW, [*windows[:-1], window(0, 10, 6)])[0] is CRITICAL


@pytest.mark.parametrize("sure", range(4))
def test_one_window_that_is_sure_speaks(sure: int) -> None:
    """Whichever it is; the others see no better rate, of too few executions."""
    hours = (0.5, 1, 3, 6)
    windows = [window(8, 12, length) for length in hours]
    assert judge_rate(BELOW, windows)[0] is OK
    windows[sure] = window(200, 400, hours[sure])
    found, measured = judge_rate(BELOW, windows)
    assert found is CRITICAL
    assert replace(measured, best=None) == windows[sure]


def test_the_first_window_that_is_sure_of_the_worst_is_told() -> None:
    """A longer one that says the same does not replace it, one that says worse does."""
    warning, critical = window(72, 96, 1), window(300, 600, 6)
    assert judge_rate(BELOW, [warning, window(720, 960, 3)])[1].samples == 96
    found, measured = judge_rate(BELOW, [window(8, 12, 0.5), warning, critical])
    # The latest window is below both limits: 67 %.
    assert (found, measured.samples) == (CRITICAL, 600)
    found, measured = judge_rate(BELOW, [warning, critical])
    # The latest window, 75 %, is not below the critical limit: no more than a warning.
    assert (found, measured.samples) == (WARNING, 96)


@pytest.mark.parametrize(
    ("rule", "bad", "good"), [(BELOW, 100, 171), (ABOVE, 100, 19)], ids=["below", "above"]
)
def test_what_is_over_is_over(rule: Rule, bad: int, good: int) -> None:
    """A long window that is still bad says nothing while the latest is within the limits."""
    long = window(bad, 200, 6)
    assert judge_rate(rule, [long])[0] is CRITICAL
    assert judge_rate(rule, [window(0 if rule.above else 10, 10, 0.5), long])[0] is OK
    found, measured = judge_rate(rule, [window(good, 200, 0.5), long])
    assert (found, measured.samples, measured.window_start) == (
        OK,
        200,
        END - timedelta(hours=0.5),
    )


def test_a_latest_window_without_enough_samples_is_not_asked() -> None:
    """The next longer one is the latest that counts."""
    silent, few = window(0, 0, 0.5), window(9, 9, 1)
    assert judge_rate(BELOW, [silent, few, window(100, 200, 3)])[0] is CRITICAL
    assert judge_rate(BELOW, [silent, few, window(190, 200, 3), window(190, 400, 6)])[0] is OK


def test_without_a_minimum_one_sample_is_enough_but_none_is_not() -> None:
    """A bound knows its samples: of two alone little is sure."""
    rule = Rule(below=Limits(warning=0.85, critical=0.7), min_samples=0)
    nothing = window(0, 0)
    assert judge_rate(rule, [nothing]) == (UNKNOWN, nothing)
    assert judge_rate(rule, [nothing, window(0, 2, 6)])[0] is OK  # Up to 86.8 % are possible.
    assert judge_rate(rule, [window(0, 3, 6)])[0] is WARNING  # 78.1 %
    assert judge_rate(rule, [window(0, 5, 6)])[0] is CRITICAL  # 65.0 %


def test_a_rate_is_told_at_its_best() -> None:
    """The bound on the good side: the upper one below a limit, the lower one above it."""
    # Half an execution away from one half, what the formula becomes for that.
    upper = judge_rate(BELOW, [replace(window(50, 100), value=0.495)])[1].best
    lower = judge_rate(ABOVE, [replace(window(50, 100), value=0.505)])[1].best
    reach = Z / (2 * math.sqrt(100 + Z * Z))
    assert upper == pytest.approx(0.5 + reach)
    assert lower == pytest.approx(0.5 - reach)


def test_seven_of_twelve_are_no_proof() -> None:
    """That few or fewer of 12 succeed 2.4 % of the time when 85 % do in the long run."""
    chance = sum(math.comb(12, n) * 0.85**n * 0.15 ** (12 - n) for n in range(8))
    assert chance == pytest.approx(0.0239, abs=1e-4)
    assert judge_rate(BELOW, [window(7, 12)])[0] is OK
    assert judge_rate(BELOW, [window(6, 12)])[0] is WARNING


@pytest.mark.parametrize("rule", [BELOW, ABOVE], ids=["below", "above"])
@pytest.mark.parametrize("name", ["warning", "critical"])
def test_a_verdict_changes_where_the_score_test_does(rule: Rule, name: str) -> None:
    """Count by count around the edge, for small and large samples."""
    limit = rule.limits.warning if name == "warning" else rule.limits.critical
    assert limit is not None
    only = Limits(warning=limit) if name == "warning" else Limits(critical=limit)
    alone = Rule(below=only) if rule.below else Rule(above=only)
    wrong = WARNING if name == "warning" else CRITICAL
    for samples in (10, 11, 30, 100, 1000):
        verdicts = [judge_rate(alone, [window(n, samples)])[0] for n in range(samples + 1)]
        assert verdicts == [
            wrong if is_sure(alone, window(n, samples), limit) else OK for n in range(samples + 1)
        ]


@given(
    counts=st.lists(st.tuples(st.integers(0, 300), st.floats(0, 1)), min_size=1, max_size=5),
    is_below=st.booleans(),
    limits=st.sampled_from([(0.1, 0.3), (0.3, None), (None, 0.2), (0.0, 0.5)]),
    min_samples=st.sampled_from([0, 1, 10, 50]),
)
def test_any_windows_get_the_verdict_that_is_documented(
    counts: list[tuple[int, float]],
    is_below: bool,
    limits: tuple[float | None, float | None],
    min_samples: int,
) -> None:
    """Against the score test itself; a raw verdict is never milder, and nothing fires that is over.

    Limits of rules below are those above, seen from the other end.
    """
    warning, critical = limits
    if is_below:
        mirrored = [None if limit is None else 1 - limit for limit in limits]
        rule = Rule(
            below=Limits(warning=mirrored[0], critical=mirrored[1]), min_samples=min_samples
        )
    else:
        rule = Rule(above=Limits(warning=warning, critical=critical), min_samples=min_samples)
    windows = [
        window(round(samples * part), samples, hours + 1)
        for hours, (samples, part) in enumerate(counts)
    ]
    verdict, measured = judge_rate(rule, windows)
    assert verdict is expected_verdict(rule, windows)
    assert replace(measured, best=None) in windows
    enough = [w for w in windows if w.value is not None and w.samples >= min_samples]
    if enough:
        assert verdict.badness <= judge_raw(rule, enough[0]).badness
        assert verdict.badness <= judge_raw(rule, measured).badness


@pytest.mark.parametrize(
    ("name", "rule", "sentence"),
    [
        (
            "success_rate",
            BELOW,
            "Which part of the executions succeeded, over 1h:"
            " warning below 85.0%, critical below 70.0%.",
        ),
        (
            "slow_repos",
            Rule(measurement="slow_executions", by="repo", window="3h", above=Limits(critical=0.5)),
            "Which part of the executions took longer than the target, for each repo, over 3h:"
            " critical above 50.0%.",
        ),
        (
            "database_size",
            Rule(above=Limits(warning=500)),
            "The size of the source: warning above 500 MB.",
        ),
        (
            "success_slo",
            Rule(target=0.99),
            "How fast failures burn the error budget of 30 days.",
        ),
    ],
)
def test_a_rule_is_described(name: str, rule: Rule, sentence: str) -> None:
    """With its limits, in their units."""
    assert describe_rule(name, rule) == sentence


def test_a_rule_of_any_name_has_the_runbook_of_its_measurement() -> None:
    """Unless it names a section itself."""
    assert BELOW.section("success_rate") == "success_rate"
    large = Rule(measurement="success_rate", by="model_tier")
    assert large.section("large_tier") == "success_rate"
    assert Rule(measurement="success_rate", runbook="tiers").section("large_tier") == "tiers"
