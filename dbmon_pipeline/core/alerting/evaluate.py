"""Evaluation: every enabled rule is judged as of one instant, over whatever a reader reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

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
from dbmon_pipeline.core.config.rule import RATES, length_of
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
        for alert in _Evaluation(reader, rule.judges(name), rule, end, name=name).alerts()
    ]


@dataclass(frozen=True)
class _Evaluation(Measurements):
    """Evaluation of one rule as of one instant."""

    name: str = field(kw_only=True)

    def alerts(self) -> Iterator[Alert]:
        """Judge each scope by the rule."""
        match self.measurement:
            case "database_size":
                yield self._judge_size()
            case "source_freshness":
                yield self._judge_age()
            case "recent_executions":
                yield self._judge_silence()
            case "success_slo":
                yield self._judge_objective()
            case "anomaly":
                yield from self._judge_anomalies()
            case measurement if measurement in RATES and self.rule.mode == "confident":
                yield from self._judge_rates()
            case _:
                for scope, raw in self.over(self.rule.window).scopes.items():
                    yield self._alert(scope, raw, self._judge_plainly(raw))

    def _judge_rates(self) -> Iterator[Alert]:
        rule = self.rule
        raws = self.over(rule.window)
        lengths = sorted(rule.windows, key=length_of)
        windows = [self.over(length) for length in lengths]
        for scope in dict.fromkeys(scope for seen in (*windows, raws) for scope in seen.scopes):
            verdict, measured = judge_rate(rule, self.from_the_latest(scope, lengths))
            yield self._alert(scope, measured, verdict, raw=raws.of(scope))

    def _judge_silence(self) -> Alert:
        """Judge whether there were too few executions for this hour of the week."""
        rule, raw = self.rule, self.over(self.rule.window).of("all")
        if not self.reader.about.executions:  # A silence says something after a sound alone.
            return self._alert("all", raw, Verdict.INSUFFICIENT_DATA)
        verdict, note = judge_raw(rule, raw), ""
        if verdict is not Verdict.OK and rule.mode == "confident":
            usual, variance, hours = self.usual(length_of(rule.window))
            if hours < _FEWEST_USUAL_HOURS:
                verdict = Verdict.INSUFFICIENT_DATA
            elif not usual or 1 - rule.confidence < chance_of_at_most(
                int(raw.value or 0), usual, variance
            ):
                verdict = Verdict.OK
            note = f"usual at this time of the week are {usual:,.1f}"
        return self._alert("all", raw, verdict, note=note)

    def _judge_objective(self) -> Alert:
        """Judge the burn rate of the error budget, over the pair of windows that is worst."""
        target = self.rule.target or 0.0
        judged: list[tuple[Verdict, Measured, Burn]] = []
        for burn in BURNS:
            long, short = (self.burnt(window, target) for window in (burn.window, burn.short))
            verdict = Verdict.OK
            if None in (long.value, short.value) or long.samples < self.rule.min_samples:
                verdict = Verdict.INSUFFICIENT_DATA
            elif min(long.value or 0, short.value or 0) > burn.limit:
                verdict = Verdict.CRITICAL if burn.is_critical else Verdict.WARNING
            judged.append((verdict, long, burn))
        verdict, measured, burn = max(judged, key=lambda one: one[0].badness)
        return replace(
            self._alert("all", measured, verdict),
            raw_verdict=verdict,
            is_recovered=(measured.value or 0) <= burn.limit,
            warning=None if burn.is_critical else burn.limit,
            critical=burn.limit if burn.is_critical else None,
            direction="above",
            note=f"the target is {target:.2%} over 30 days",
        )

    def _judge_anomalies(self) -> Iterator[Alert]:
        """Judge by figure how unlike the hours alike both the last hour and the one before are."""
        start = self.end - 2 * HOUR
        last, before = (self.scores(end) for end in (self.end, self.end - HOUR))
        for score in map(lasting, last, before):
            size = None if score.z is None else abs(score.z)
            measured = Measured(size, score.samples, start, self.end)
            note = ""
            if score.value is not None and score.usual is not None:
                note = f"{score.value:,.4g} where {score.usual:,.4g} is usual"
            yield self._alert(score.metric, measured, note=note)

    def _judge_size(self) -> Alert:
        """Judge the size, and estimate when it passes the next limit at last week's growth."""
        about, limits = self.reader.about, self.rule.limits
        size = about.source_bytes / 1e6
        daily = self.reader.samples(TimeRange.WEEK) / 7
        larger = [
            limit for limit in (limits.warning, limits.critical) if limit and 0 < size < limit
        ]
        note = ""
        if larger and daily and about.executions:
            days = (min(larger) - size) / (size / about.executions * daily)
            if days < _FARTHEST_DAYS:
                day = (about.as_of + timedelta(days=days)).date()
                limit = format_value("database_size", min(larger))
                note = f"as it grows now it will pass {limit} on {day}"
        return self._alert("all", Measured(size, about.executions, None, None), note=note)

    def _judge_age(self) -> Alert:
        about = self.reader.about
        through = about.data_through
        age = max(0.0, (about.as_of - through).total_seconds()) if through else None
        return self._alert("all", Measured(age, about.executions, None, None))

    def _judge_plainly(self, raw: Measured) -> Verdict:
        # A budget is blown by one execution as by many.
        fewest = 0 if self.measurement == "cost_budget" else self.rule.min_samples
        if raw.value is None or raw.samples < fewest:
            return Verdict.INSUFFICIENT_DATA
        return compare(self.rule, raw.value if raw.best is None else raw.best)

    def _alert(
        self,
        scope: str,
        measured: Measured,
        verdict: Verdict | None = None,
        *,
        raw: Measured | None = None,
        note: str = "",
    ) -> Alert:
        """Make an alert; the verdict and the raw value are those of the measured one by default."""
        rule, raw = self.rule, raw or measured
        return Alert(
            rule=self.name,
            measurement=self.measurement,
            scope=scope,
            verdict=verdict or judge_raw(rule, measured),
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
