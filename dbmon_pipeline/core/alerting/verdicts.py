"""Verdicts: measurements judged by the limits of the rules file.

A measurement is a value with its sample size; it knows no limit. Every face shows these verdicts.
A confident verdict is about the value at its best, as far as the sample can tell: a few bad
executions that may well be chance are not reported.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Literal

from dbmon_pipeline.core.config.rule import RATES, Rule
from dbmon_pipeline.core.stats.bounds import wilson_bounds

_ABOUT = {
    "success_rate": "Which part of the executions succeeded",
    "error_rate": "Which part of the executions names an error",
    "slow_executions": "Which part of the executions took longer than the target",
    "recent_executions": "How many executions there were",
    "cost_budget": "What executions have cost since midnight",
    "cost_drift": "What executions cost, as a multiple of its estimate",
    "success_slo": "How fast failures burn the error budget of 30 days",
    "anomaly": "How far an hour is from what is usual at this hour of the week",
    "database_size": "The size of the source",
    "source_freshness": "The time since the source was read",
}
_FORMATS = {
    **dict.fromkeys(RATES, "{:.1%}"),
    "cost_budget": "${:,.2f}",
    "cost_drift": "{:.2f}x",
    "success_slo": "{:.1f}x the budget",
    "anomaly": "{:.1f} sigma",
    "database_size": "{:,.0f} MB",
    "source_freshness": "{:,.1f} hours",
}
_OF_NO_WINDOW = frozenset(
    {"cost_budget", "success_slo", "anomaly", "database_size", "source_freshness"}
)


class Verdict(StrEnum):
    """Verdict of a rule on a value."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    INSUFFICIENT_DATA = "insufficient_data"

    @property
    def badness(self) -> int:
        """Rank for comparing: above 0 for values beyond a limit, below 0 for unknown ones."""
        return {"insufficient_data": -1, "ok": 0, "warning": 1, "critical": 2}[self.value]


@dataclass(frozen=True)
class Measured:
    """Measured value of one scope over one window.

    Attributes:
        value: The value; None if nothing could be measured.
        samples: How many executions it was made from.
        window_start: From when on executions were looked at, naive UTC.
        window_end: Up to when, not included.
        best: What the value is at best, as far as the sample can tell.
    """

    value: float | None
    samples: int
    window_start: datetime | None
    window_end: datetime | None
    best: float | None = None


@dataclass(frozen=True, kw_only=True)
class Alert:
    """Measurement with its verdict.

    Attributes:
        rule: The rule.
        measurement: What it is about.
        scope: What was measured, ``all`` for everything.
        verdict: What the rule says.
        mode: ``confident`` or ``raw``.
        measured: What it is said of.
        raw: The plain value over the window of the rule.
        raw_verdict: What a plain comparison of that says.
        is_recovered: Whether the value is better than the warning limit by the margin of the rule.
        warning: The limit of a warning, None if there is none.
        critical: The limit of what is critical, None if there is none.
        direction: ``below`` or ``above``: on which side of a limit a value is wrong.
        note: What else there is to say.
    """

    rule: str
    measurement: str
    scope: str
    verdict: Verdict
    mode: Literal["confident", "raw"]
    measured: Measured
    raw: Measured
    raw_verdict: Verdict
    is_recovered: bool
    warning: float | None
    critical: float | None
    direction: Literal["below", "above"]
    note: str = ""

    @property
    def limit(self) -> float | None:
        """The limit that matters for the verdict."""
        is_critical = self.verdict is Verdict.CRITICAL or self.warning is None
        return self.critical if is_critical else self.warning

    @property
    def sentence(self) -> str:
        """The verdict in a sentence for people."""
        value = format_value(self.measurement, self.measured.value)
        said = f"{self.rule.replace('_', ' ')} is {value}"
        where = "" if self.scope == "all" else f" in {self.scope}"
        of = f" of {self.measured.samples:,} executions" if self.measurement in RATES else ""
        limit = format_value(self.measurement, self.limit)
        if self.verdict.badness > 0:
            judged = f", {self.direction} the limit of {limit}"
        elif self.verdict is Verdict.OK:
            judged = f"; the limit is {limit}"
        else:
            judged = ", too little to judge"
        note = f"; {self.note}" if self.note else ""
        return f"{said}{of}{where}{judged}{note}"


def format_value(measurement: str, value: float | None) -> str:
    """Format a value of a measurement with its unit."""
    if value is None:
        return "unknown"
    shown = value / 3600 if measurement == "source_freshness" else value
    return _FORMATS.get(measurement, "{:,g}").format(shown)


def describe_rule(name: str, rule: Rule) -> str:
    """Describe in a sentence what a rule watches and where its limits are."""
    measurement = rule.judges(name)
    about = _ABOUT[measurement]
    if rule.by:
        about += f", for each {rule.by}"
    if measurement not in _OF_NO_WINDOW:
        about += f", over {rule.window}"
    limits = (("warning", rule.limits.warning), ("critical", rule.limits.critical))
    described = [
        f"{verdict} {rule.direction} {format_value(measurement, limit)}"
        for verdict, limit in limits
        if limit is not None
    ]
    return f"{about}{': ' if described else ''}{', '.join(described)}."


def compare(rule: Rule, value: float) -> Verdict:
    """Compare a value with the limits of a rule."""
    if _is_beyond(rule, value, rule.limits.critical):
        return Verdict.CRITICAL
    return Verdict.WARNING if _is_beyond(rule, value, rule.limits.warning) else Verdict.OK


def is_recovered(rule: Rule, value: float | None) -> bool:
    """Tell whether a value is better than its first limit by the recovery margin of the rule."""
    limit = rule.limits.critical if rule.limits.warning is None else rule.limits.warning
    if value is None or limit is None:
        return True
    margin = rule.recovery if rule.below else -rule.recovery
    return not _is_beyond(rule, value, limit + margin)


def _is_beyond(rule: Rule, value: float, limit: float | None) -> bool:
    return limit is not None and (value < limit if rule.below else value > limit)


def judge_raw(rule: Rule, measured: Measured) -> Verdict:
    """Judge a value by plain comparison; a rate of nothing has insufficient data."""
    if measured.value is None:
        return Verdict.INSUFFICIENT_DATA
    return compare(rule, measured.value)


def judge_rate(rule: Rule, windows: Iterable[Measured]) -> tuple[Verdict, Measured]:
    """Judge a rate confidently, over windows from the shortest to the longest.

    A window is sure that the rate is beyond a limit when even its bound is. It speaks only while
    the latest window with enough samples is beyond that limit too: what is over is over.

    Args:
        rule: The rule.
        windows: What was measured over each.

    Returns:
        The verdict, and what it is said of.
    """
    seen = list(windows)
    enough = [
        replace(window, best=_best_rate(rule, window.value, window.samples))
        for window in seen
        if window.value is not None and window.samples >= max(rule.min_samples, 1)
    ]
    if not enough:
        return Verdict.INSUFFICIENT_DATA, seen[-1]
    latest = judge_raw(rule, enough[0])
    worst = Verdict.OK, enough[0]
    for window in enough:
        verdict = min(compare(rule, window.best or 0), latest, key=lambda v: v.badness)
        if verdict.badness > worst[0].badness:
            worst = verdict, window
    return worst


def _best_rate(rule: Rule, value: float, samples: int) -> float:
    """Return the bound on the good side, with half an execution's correction for continuity.

    Without that a few executions seem twice as sure as they are: at 85 % no more than 7 of 12
    succeed once in 42 times, which a bound of 99.5 % would call certainly below.
    """
    half = 0.5 / samples
    if rule.below:
        return wilson_bounds(min(value + half, 1.0), samples, rule.confidence)[1]
    return wilson_bounds(max(value - half, 0.0), samples, rule.confidence)[0]
