"""Evaluation: every enabled rule is judged as of one instant, over whatever a reader reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from dbmon_pipeline.core.alerting.measurements import Measurements, Measuring
from dbmon_pipeline.core.alerting.verdicts import (
    Alert,
    Measured,
    Verdict,
    compare,
    format_value,
    is_recovered,
    judge_rate,
    judge_raw,
)
from dbmon_pipeline.core.common.instants import HOUR
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.config.rule import RATES, Rule, length_of
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.core.stats.anomaly import lasting
from dbmon_pipeline.core.stats.bounds import chance_of_at_most
from dbmon_pipeline.core.stats.burn_rate import BURNS, Burn

_FEWEST_USUAL_HOURS = 6
"""With fewer hours to compare with, a silence is not called unusual."""
_FARTHEST_DAYS = 3650


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


class _Evaluation:
    """Evaluation of one rule as of one instant."""

    def __init__(self, reader: Measuring, name: str, rule: Rule, end: datetime) -> None:
        self._reader = reader
        self._name = name
        self._rule = rule
        self._end = end
        self._measurement: str = rule.judges(name)
        self._measured = Measurements(reader, self._measurement, rule, end)

    def alerts(self) -> Iterator[Alert]:
        """Judge each scope by the rule."""
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
                for scope, raw in self._measured.over(self._rule.window).scopes.items():
                    yield self._alert(scope, self._plainly(raw), raw, raw)

    def _rates(self) -> Iterator[Alert]:
        rule = self._rule
        raws = self._measured.over(rule.window)
        lengths = sorted(rule.windows, key=length_of)
        windows = [self._measured.over(length) for length in lengths]
        for scope in dict.fromkeys(scope for seen in (*windows, raws) for scope in seen.scopes):
            found = judge_rate(rule, self._measured.from_the_latest(scope, lengths))
            yield self._alert(scope, *found, raws.of(scope))

    def _silence(self) -> Alert:
        """Judge whether there were too few executions for this hour of the week."""
        rule, raw = self._rule, self._measured.over(self._rule.window).of("all")
        if not self._reader.about.executions:  # A silence says something after a sound alone.
            return self._alert("all", Verdict.INSUFFICIENT_DATA, raw, raw)
        verdict, note = judge_raw(rule, raw), ""
        if verdict is not Verdict.OK and rule.mode == "confident":
            usual, variance, hours = self._measured.usual(length_of(rule.window))
            if hours < _FEWEST_USUAL_HOURS:
                verdict = Verdict.INSUFFICIENT_DATA
            elif not usual or 1 - rule.confidence < chance_of_at_most(
                int(raw.value or 0), usual, variance
            ):
                verdict = Verdict.OK
            note = f"usual at this time of the week are {usual:,.1f}"
        return self._alert("all", verdict, raw, raw, note)

    def _objective(self) -> Alert:
        """Judge the burn rate of the error budget, over the pair of windows that is worst."""
        target = self._rule.target or 0.0
        found: list[tuple[Verdict, Measured, Burn]] = []
        for burn in BURNS:
            windows = (burn.window, burn.short)
            long, short = (self._measured.burnt(window, target) for window in windows)
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

    def _anomalies(self) -> Iterator[Alert]:
        """Judge by figure how unlike the hours alike both the last hour and the one before are."""
        start = self._end - 2 * HOUR
        last, before = (self._measured.scores(end) for end in (self._end, self._end - HOUR))
        for score in map(lasting, last, before):
            size = None if score.z is None else abs(score.z)
            measured = Measured(size, score.samples, start, self._end)
            note = ""
            if score.value is not None and score.usual is not None:
                note = f"{score.value:,.4g} where {score.usual:,.4g} is usual"
            verdict = judge_raw(self._rule, measured)
            yield self._alert(score.metric, verdict, measured, measured, note)

    def _size(self) -> Alert:
        """Judge the size, and estimate when it passes the next limit at last week's growth."""
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
                    at = format_value("database_size", limit)
                    note = f"as it grows now it will pass {at} on {day}"
                break
        measured = Measured(size, about.executions, None, None)
        return self._alert("all", judge_raw(rule, measured), measured, measured, note)

    def _age(self) -> Alert:
        about = self._reader.about
        through = about.data_through
        age = max(0.0, (about.as_of - through).total_seconds()) if through else None
        measured = Measured(age, about.executions, None, None)
        return self._alert("all", judge_raw(self._rule, measured), measured, measured)

    def _plainly(self, raw: Measured) -> Verdict:
        # A budget is blown by one execution as by many.
        fewest = 0 if self._measurement == "cost_budget" else self._rule.min_samples
        if raw.value is None or raw.samples < fewest:
            return Verdict.INSUFFICIENT_DATA
        return compare(self._rule, raw.value if raw.best is None else raw.best)

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
