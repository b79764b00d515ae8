"""Measurements: the values a rule needs as of one instant, from any reader."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from dbmon_pipeline.core.alerting.verdicts import Measured
from dbmon_pipeline.core.common.instants import HOUR, day_start
from dbmon_pipeline.core.common.rows import Rows, number
from dbmon_pipeline.core.config.rule import Rule, length_of
from dbmon_pipeline.core.query.answers import ReaderInfo
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.core.stats.anomaly import Hour, Score, scores
from dbmon_pipeline.core.stats.bounds import quantile
from dbmon_pipeline.core.stats.burn_rate import burn_rate

WIDEST = timedelta(hours=24)
"""The widest window, for a rule on a rate none of whose windows has enough samples."""
_HISTORY = timedelta(weeks=8, hours=2)
"""The history that is searched for the usual values of an hour of the week."""


class Measuring(Protocol):
    """Protocol of an evaluation's input: a reader, or a substitute with the same answers."""

    @property
    def about(self) -> ReaderInfo:
        """The source, the instants and the totals of the figures."""

    def measure(
        self, name: str, length: timedelta, end: datetime, **values: str | float | None
    ) -> Rows:
        """Take a measurement of ``sql/checks`` over the window that ends at an instant."""

    def samples(self, time_range: TimeRange) -> int:
        """Count the executions of a range."""

    def hours_beyond_limit(self, start: datetime, end: datetime) -> frozenset[datetime]:
        """List the hours of a stretch in which a rule is known to have been beyond a limit."""


@dataclass(frozen=True)
class WindowValues:
    """Measured values of one window, by scope."""

    start: datetime
    end: datetime
    scopes: Mapping[str, Measured]

    def of(self, scope: str) -> Measured:
        """Return the measured value of a scope: an empty one, if it has no executions."""
        return self.scopes.get(scope, Measured(None, 0, self.start, self.end))


@dataclass(frozen=True)
class Measurements:
    """Measurements for one rule as of one instant; no window is measured twice.

    Attributes:
        reader: What is measured.
        measurement: What the rule is about.
        rule: The rule.
        end: Where windows end.
    """

    reader: Measuring
    measurement: str
    rule: Rule
    end: datetime
    _seen: dict[str, WindowValues] = field(default_factory=dict)

    def over(self, length: str) -> WindowValues:
        """Measure over the window of a length; without a dimension there is always one scope."""
        if length in self._seen:
            return self._seen[length]
        rule, end = self.rule, self.end
        lasting = length_of(length)
        if self.measurement == "cost_budget":  # A day's budget, from midnight on.
            lasting = end - day_start(end.date())
        measured = self.reader.measure(
            self.measurement, lasting, end, by=rule.by, target_seconds=rule.target_seconds
        )
        start = end - lasting
        scopes = {}
        for scope, value, samples, *error in measured.rows:
            best = None
            if error and rule.mode == "confident" and value is not None:
                reach = quantile(rule.confidence) * (number(error[0]) or 0)
                best = float(str(value)) + (reach if rule.below else -reach)
            scopes[str(scope)] = Measured(number(value), int(str(samples)), start, end, best)
        if rule.by is None and not scopes:
            scopes["all"] = Measured(None, 0, start, end)
        self._seen[length] = WindowValues(start, end, scopes)
        return self._seen[length]

    def from_the_latest(self, scope: str, lengths: Sequence[str]) -> list[Measured]:
        """Measure a scope over the shortest window with enough samples and all longer ones.

        Where those of the rule are too short, that is one of full hours: after a pause, a much
        longer one would judge trouble that has been over for long.
        """
        seen = [self.over(length).of(scope) for length in lengths]
        fewest = max(self.rule.min_samples, 1)
        few = sum(one.samples < fewest for one in seen)
        if not few:
            return seen
        too_short = length_of(lengths[few - 1])
        longest = length_of(lengths[few]) if few < len(lengths) else WIDEST
        hours = [f"{n}h" for n in range(int(too_short / HOUR) + 1, int(longest / HOUR) + 1)]
        if not hours:
            return seen
        at = bisect_left(hours, fewest, key=lambda one: self.over(one).of(scope).samples)
        return [self.over(hours[min(at, len(hours) - 1)]).of(scope), *seen[few:]]

    def usual(self, length: timedelta) -> tuple[float, float, int]:
        """Estimate how many executions are usual in a window that ends now.

        Returns:
            The mean, the variance, and from how many hours like the one of which fewest are known;
            hours are taken to be independent of each other.
        """
        usual = variance = 0.0
        known = []
        for place in range(math.ceil(length / HOUR)):
            share = min(1.0, length / HOUR - place)
            [(mean, spread, hours)] = self.reader.measure(
                "usual_executions", _HISTORY, self.end - place * HOUR
            ).rows
            usual += (number(mean) or 0) * share
            variance += (number(spread) or 0) * share
            known.append(int(str(hours)))
        return usual, variance, min(known)

    def burnt(self, window: timedelta, target: float) -> Measured:
        """Measure how fast the error budget of a target was burnt over a window."""
        rows = self.reader.measure("success_rate", window, self.end, by=None).rows
        [(_, value, samples)] = rows or [("all", None, 0)]
        rate = None if value is None else burn_rate(float(str(value)), target)
        return Measured(rate, int(str(samples)), self.end - window, self.end)

    def scores(self, end: datetime) -> list[Score]:
        """Score how unlike the hours alike the one that ends at an instant is."""
        [now] = self.reader.measure("last_hour", HOUR, end).rows
        beyond_limit = self.reader.hours_beyond_limit(end - _HISTORY, end)
        alike = [
            _hour(figures)
            for hour, *figures in self.reader.measure("hours_alike", _HISTORY, end).rows
            if hour not in beyond_limit
        ]
        return scores(_hour(now), alike, self.rule.min_samples)


def _hour(figures: Sequence[object]) -> Hour:
    executions, successes, duration_count, duration_sum, cost_count, cost_sum = (
        number(figure) or 0.0 for figure in figures
    )
    return Hour(
        executions=int(executions),
        successes=int(successes),
        duration_count=int(duration_count),
        duration_sum=duration_sum,
        cost_count=int(cost_count),
        cost_sum=cost_sum,
    )
