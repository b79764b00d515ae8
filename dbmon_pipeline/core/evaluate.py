"""Evaluation: every enabled rule is judged as of one instant, over whatever a reader reads."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from dbmon_pipeline.core.anomaly import Hour, Score, lasting, scores
from dbmon_pipeline.core.answers import About
from dbmon_pipeline.core.config import MonitoringConfig
from dbmon_pipeline.core.instants import HOUR, day_start
from dbmon_pipeline.core.ranges import TimeRange
from dbmon_pipeline.core.rows import Rows
from dbmon_pipeline.core.rule_config import RATES, Rule, length_of
from dbmon_pipeline.core.rules import (
    Alert,
    Measured,
    Verdict,
    compare,
    is_recovered,
    judge_rate,
    judge_raw,
    spoken,
)
from dbmon_pipeline.core.slo import BURNS, Burn, burn_rate
from dbmon_pipeline.core.statistics import chance_of_at_most, quantile

WIDEST = timedelta(hours=24)
"""How far to look when no window of a rule on a rate has enough samples."""
_HISTORY = timedelta(weeks=8, hours=2)
"""How far back what is usual at an hour of the week is looked for."""
_FEWEST_USUAL_HOURS = 6
"""With fewer hours to compare with, a silence is not called unusual."""
_FARTHEST_DAYS = 3650


class Measuring(Protocol):
    """What an evaluation reads from: a reader, or what has its answers from elsewhere."""

    @property
    def about(self) -> About:
        """What the figures are about."""

    def measure(
        self, name: str, length: timedelta, end: datetime, **values: str | float | None
    ) -> Rows:
        """Take a measurement of ``sql/checks`` over the window that ends at an instant."""

    def samples(self, time_range: TimeRange) -> int:
        """How many executions a range has."""

    def troubled(self, start: datetime, end: datetime) -> frozenset[datetime]:
        """The hours of a stretch in which a rule was beyond a limit, as far as that is known."""


def evaluate(reader: Measuring, config: MonitoringConfig) -> list[Alert]:
    """Judge every enabled rule as of the reader's instant.

    Windows end where the source had been read up to: what came later is not known to be missing.

    Raises:
        NotPublishedError: A published file is damaged or gone.
        SourceError: The database cannot be read.
    """
    about = reader.about
    end = min(about.as_of, about.data_through or about.as_of)
    return [
        alert
        for name, rule in config.rules.items()
        if rule.enabled
        for alert in _Evaluation(reader, name, rule, end).alerts()
    ]


@dataclass(frozen=True)
class _Seen:
    """What was measured over one window, by scope."""

    start: datetime
    end: datetime
    scopes: Mapping[str, Measured]

    def of(self, scope: str) -> Measured:
        """What was measured of a scope: nothing, if it has no executions."""
        return self.scopes.get(scope, Measured(None, 0, self.start, self.end))


class _Evaluation:
    """One rule as of one instant."""

    def __init__(self, reader: Measuring, name: str, rule: Rule, end: datetime) -> None:
        self._reader = reader
        self._name = name
        self._rule = rule
        self._end = end
        self._measurement: str = rule.judges(name)
        self._seen: dict[str, _Seen] = {}

    def alerts(self) -> Iterator[Alert]:
        """What the rule says of each scope."""
        match self._measurement:
            case "database_size":
                yield self._size()
            case "source_freshness":
                yield self._age()
            case "recent_executions":
                yield self._silence()
            case "success_slo":
                yield self._objective()
            case "anomaly":
                yield from self._anomalies()
            case measurement if measurement in RATES and self._rule.mode == "confident":
                yield from self._rates()
            case _:
                for scope, raw in self._measure(self._rule.window).scopes.items():
                    yield self._alert(scope, self._plainly(raw), raw, raw)

    def _rates(self) -> Iterator[Alert]:
        rule = self._rule
        raws = self._measure(rule.window)
        lengths = sorted(rule.windows, key=length_of)
        windows = [self._measure(length) for length in lengths]
        for scope in dict.fromkeys(scope for seen in (*windows, raws) for scope in seen.scopes):
            found = judge_rate(rule, self._from_the_latest(scope, lengths))
            yield self._alert(scope, *found, raws.of(scope))

    def _from_the_latest(self, scope: str, lengths: Sequence[str]) -> list[Measured]:
        """What was measured of a scope, from the shortest window with enough samples on.

        Where those of the rule are too short, that is one of full hours: after a pause, a much
        longer one would tell of what has been over for long.
        """
        seen = [self._measure(length).of(scope) for length in lengths]
        fewest = max(self._rule.min_samples, 1)
        few = sum(one.samples < fewest for one in seen)
        if not few:
            return seen
        too_short = length_of(lengths[few - 1])
        longest = length_of(lengths[few]) if few < len(lengths) else WIDEST
        hours = [f"{n}h" for n in range(int(too_short / HOUR) + 1, int(longest / HOUR) + 1)]
        if not hours:
            return seen
        at = bisect_left(hours, fewest, key=lambda one: self._measure(one).of(scope).samples)
        return [self._measure(hours[min(at, len(hours) - 1)]).of(scope), *seen[few:]]

    def _silence(self) -> Alert:
        """How few executions there were, and whether that is unusual at this hour of the week."""
        rule, raw = self._rule, self._measure(self._rule.window).of("all")
        if not self._reader.about.executions:  # A silence says something after a sound alone.
            return self._alert("all", Verdict.INSUFFICIENT_DATA, raw, raw)
        verdict, note = judge_raw(rule, raw), ""
        if verdict is not Verdict.OK and rule.mode == "confident":
            usual, variance, hours = self._usual(length_of(rule.window))
            if hours < _FEWEST_USUAL_HOURS:
                verdict = Verdict.INSUFFICIENT_DATA
            elif not usual or 1 - rule.confidence < chance_of_at_most(
                int(raw.value or 0), usual, variance
            ):
                verdict = Verdict.OK
            note = f"usual at this time of the week are {usual:,.1f}"
        return self._alert("all", verdict, raw, raw, note)

    def _usual(self, length: timedelta) -> tuple[float, float, int]:
        """How many executions are usual in a window that ends now.

        Returns:
            The mean, the variance, and from how many hours like the one of which fewest are known;
            hours are taken to be independent of each other.
        """
        usual = variance = 0.0
        known = []
        for number in range(math.ceil(length / HOUR)):
            share = min(1.0, length / HOUR - number)
            [(mean, spread, hours)] = self._reader.measure(
                "usual_executions", _HISTORY, self._end - number * HOUR
            ).rows
            usual += (_number(mean) or 0) * share
            variance += (_number(spread) or 0) * share
            known.append(int(str(hours)))
        return usual, variance, min(known)

    def _objective(self) -> Alert:
        """How fast the error budget is burnt, over the pair of windows that says the worst."""
        target = self._rule.target or 0.0
        found: list[tuple[Verdict, Measured, Burn]] = []
        for burn in BURNS:
            long, short = (self._burnt(window, target) for window in (burn.window, burn.short))
            rates = [one.value for one in (long, short) if one.value is not None]
            verdict = Verdict.OK
            if len(rates) < 2 or long.samples < self._rule.min_samples:
                verdict = Verdict.INSUFFICIENT_DATA
            elif min(rates) > burn.limit:
                verdict = Verdict.CRITICAL if burn.is_critical else Verdict.WARNING
            found.append((verdict, long, burn))
        verdict, measured, burn = max(found, key=lambda one: one[0].badness)
        return replace(
            self._alert("all", verdict, measured, measured),
            raw_verdict=verdict,
            is_recovered=(measured.value or 0) <= burn.limit,
            warning=None if burn.is_critical else burn.limit,
            critical=burn.limit if burn.is_critical else None,
            direction="above",
            note=f"the target is {target:.2%} over 30 days",
        )

    def _burnt(self, window: timedelta, target: float) -> Measured:
        rows = self._reader.measure("success_rate", window, self._end, by=None).rows
        [(_, value, samples)] = rows or [("all", None, 0)]
        rate = None if value is None else burn_rate(float(str(value)), target)
        return Measured(rate, int(str(samples)), self._end - window, self._end)

    def _anomalies(self) -> Iterator[Alert]:
        """How unlike the hours alike both the last hour and the one before are, by figure."""
        start = self._end - 2 * HOUR
        for score in map(lasting, self._scores(self._end), self._scores(self._end - HOUR)):
            size = None if score.z is None else abs(score.z)
            measured = Measured(size, score.samples, start, self._end)
            note = ""
            if score.value is not None and score.usual is not None:
                note = f"{score.value:,.4g} where {score.usual:,.4g} is usual"
            verdict = judge_raw(self._rule, measured)
            yield self._alert(score.metric, verdict, measured, measured, note)

    def _scores(self, end: datetime) -> list[Score]:
        """How unlike the hours alike the one that ends at an instant is."""
        [now] = self._reader.measure("last_hour", HOUR, end).rows
        troubled = self._reader.troubled(end - _HISTORY, end)
        alike = [
            _hour(figures)
            for hour, *figures in self._reader.measure("hours_alike", _HISTORY, end).rows
            if hour not in troubled
        ]
        return scores(_hour(now), alike, self._rule.min_samples)

    def _size(self) -> Alert:
        """The size, and when it will pass the next limit if it goes on growing as last week."""
        about, rule = self._reader.about, self._rule
        size = about.source_bytes / 1e6
        daily = self._reader.samples(TimeRange.WEEK) / 7
        limits = sorted(limit for limit in (rule.limits.warning, rule.limits.critical) if limit)
        note = ""
        for limit in limits:
            if 0 < size < limit and daily and about.executions:
                days = (limit - size) / (size / about.executions * daily)
                if days < _FARTHEST_DAYS:
                    day = (about.as_of + timedelta(days=days)).date()
                    note = f"as it grows now it will pass {spoken('database_size', limit)} on {day}"
                break
        measured = Measured(size, about.executions, None, None)
        return self._alert("all", judge_raw(rule, measured), measured, measured, note)

    def _age(self) -> Alert:
        about = self._reader.about
        through = about.data_through
        age = (about.as_of - through).total_seconds() if through else None
        measured = Measured(age, about.executions, None, None)
        return self._alert("all", judge_raw(self._rule, measured), measured, measured)

    def _plainly(self, raw: Measured) -> Verdict:
        # A budget is blown by one execution as by many.
        fewest = 0 if self._measurement == "cost_budget" else self._rule.min_samples
        if raw.value is None or raw.samples < fewest:
            return Verdict.INSUFFICIENT_DATA
        return compare(self._rule, raw.value if raw.best is None else raw.best)

    def _measure(self, length: str) -> _Seen:
        """Measure over the window of a length; without a dimension there is always one scope."""
        if length in self._seen:
            return self._seen[length]
        rule, end = self._rule, self._end
        lasting = length_of(length)
        if self._measurement == "cost_budget":  # A day's budget, from midnight on.
            lasting = end - day_start(end.date())
        found = self._reader.measure(
            self._measurement, lasting, end, by=rule.by, target_seconds=rule.target_seconds
        )
        start = end - lasting
        scopes = {}
        for scope, value, samples, *error in found.rows:
            best = None
            if error and rule.mode == "confident" and value is not None:
                reach = quantile(rule.confidence) * (_number(error[0]) or 0)
                best = float(str(value)) + (reach if rule.below else -reach)
            scopes[str(scope)] = Measured(_number(value), int(str(samples)), start, end, best)
        if rule.by is None and not scopes:
            scopes["all"] = Measured(None, 0, start, end)
        self._seen[length] = _Seen(start, end, scopes)
        return self._seen[length]

    def _alert(
        self, scope: str, verdict: Verdict, measured: Measured, raw: Measured, note: str = ""
    ) -> Alert:
        rule = self._rule
        return Alert(
            rule=self._name,
            measurement=self._measurement,
            scope=scope,
            verdict=verdict,
            mode=rule.mode,
            measured=measured,
            raw=raw,
            raw_verdict=judge_raw(rule, raw),
            is_recovered=is_recovered(rule, measured.value),
            warning=rule.limits.warning,
            critical=rule.limits.critical,
            direction=rule.direction,
            note=note,
        )


def _hour(figures: Sequence[object]) -> Hour:
    executions, successes, duration_count, duration_sum, cost_count, cost_sum = map(
        _number, figures
    )
    return Hour(
        executions=int(executions or 0),
        successes=int(successes or 0),
        duration_count=int(duration_count or 0),
        duration_sum=duration_sum or 0.0,
        cost_count=int(cost_count or 0),
        cost_sum=cost_sum or 0.0,
    )


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))
