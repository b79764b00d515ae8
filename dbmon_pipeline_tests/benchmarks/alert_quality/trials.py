"""Trials: what the product's own rules say of a healthy month, and of an incident."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Literal

import msgspec
import numpy as np

from dbmon_pipeline.core.alerting.evaluate import evaluate
from dbmon_pipeline.core.alerting.verdicts import Alert, Verdict
from dbmon_pipeline.core.common.instants import DAY, HOUR, hour_floor
from dbmon_pipeline.core.common.shipped import shipped
from dbmon_pipeline.core.config.loader import load_config
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.config.rule import Rule, Severity
from dbmon_pipeline.core.incidents.incident import Finding, IncidentState
from dbmon_pipeline.core.incidents.incident import Incident as Told
from dbmon_pipeline.core.incidents.lifecycle import next_incident
from dbmon_pipeline_tests.benchmarks.alert_quality.traffic import (
    MONDAY,
    STEP,
    Incident,
    Simulated,
    simulate,
)

Mode = Literal["confident", "raw"]

_MONTH = 30 * DAY
HISTORY = timedelta(weeks=8, hours=3)
"""How much traffic lies before what is judged, for what is usual at an hour of the week."""
_WARM_UP = timedelta(minutes=30)
_AFTERWARDS = HOUR
"""For so long after its end an incident may still be found."""
_SEVERITIES = {Verdict.WARNING: Severity.WARNING, Verdict.CRITICAL: Severity.CRITICAL}


@dataclass(frozen=True)
class Line:
    """A rule that is tried.

    Attributes:
        rule: The shipped rule.
        success: Which part of the executions succeeds while all is well; what fails names an error.
        given: What differs from the shipped rule.
        modes: The modes that are tried; one, if the rule says the same in both.
        is_shipped: Whether it is a shipped rule over traffic that it is meant for, so that the
            goals are about it.
    """

    rule: str
    _: KW_ONLY
    success: float = 0.92
    given: Mapping[str, object] = field(default_factory=dict)
    modes: tuple[Mode, ...] = ("confident", "raw")
    is_shipped: bool = True


SLO = "success_slo of 95 % at 98 %"
LINES = {
    "success_rate": Line("success_rate"),
    "success_rate by tier": Line(
        "success_rate", given={"by": "model_tier"}, modes=("confident",), is_shipped=False
    ),
    "error_rate at 98 %": Line("error_rate", success=0.98),
    "error_rate at 92 %": Line("error_rate", is_shipped=False),
    "slow_executions": Line("slow_executions"),
    "recent_executions": Line("recent_executions"),
    "cost_drift": Line("cost_drift"),
    "anomaly": Line("anomaly", modes=("confident",)),
    SLO: Line(
        "success_slo",
        success=0.98,
        given={"enabled": True, "target": 0.95},
        modes=("confident",),
        is_shipped=False,
    ),
}
"""By their names in the tables, in that order."""

_OF_RATES = ("success_rate", "success_rate by tier", "error_rate at 98 %", "anomaly", SLO)
HALF = Incident(name="success 92 → 50 %, 2 h", lasting=2 * HOUR, success=0.5)
INCIDENTS: Mapping[Incident, tuple[str, ...]] = {
    Incident(name="success 92 → 60 %, 2 h", lasting=2 * HOUR, success=0.6): _OF_RATES,
    HALF: _OF_RATES,
    Incident(name="one tier of three 20 %, 2 h", lasting=2 * HOUR, success=0.2, tiers=1): _OF_RATES,
    Incident(name="silence, 3 h", lasting=3 * HOUR, is_silent=True): (
        *("recent_executions", "anomaly"),
    ),
    Incident(name="cost x 2, 6 h", lasting=6 * HOUR, cost=2): ("cost_drift", "anomaly"),
    Incident(
        name="creep to success 75 % and cost x 2, 5 d",
        lasting=5 * DAY,
        success=0.75,
        cost=2,
        is_creeping=True,
    ): ("success_rate", "cost_drift", "anomaly", SLO),
}
"""Each with the rules that might find it."""


@dataclass(frozen=True, kw_only=True)
class Month:
    """What a rule said of a healthy month.

    Attributes:
        line: The rule.
        mode: Its mode.
        volume: Executions an hour.
        episodes: How many incidents fired.
        criticals: How many of them were critical.
    """

    line: str
    mode: Mode
    volume: int
    episodes: int
    criticals: int


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a rule said of an incident.

    Attributes:
        incident: Its name.
        line: The rule.
        mode: Its mode.
        volume: Executions an hour.
        delay: Minutes until an incident fired; None if none did.
    """

    incident: str
    line: str
    mode: Mode
    volume: int
    delay: float | None


def healthy_month(seed: Iterable[int], volume: int) -> Iterator[Month]:
    """What the rules say of a healthy month.

    Args:
        seed: Of the traffic.
        volume: Executions an hour, on average over a week.
    """
    start = hour_floor(MONDAY - HISTORY)
    traffic = simulate(np.random.default_rng([*seed]), start, MONDAY + _MONTH - start, volume)
    for success, lines in _by_success(LINES).items():
        watch = _Watch(lines, Simulated(start, traffic.measures(success)))
        for at in _instants(MONDAY, MONDAY + _MONTH):
            watch.look(at)
        for (line, mode), episodes in watch.episodes.items():
            yield Month(
                line=line,
                mode=mode,
                volume=volume,
                episodes=len(episodes),
                criticals=sum(episode.is_critical for episode in episodes),
            )


def trials(
    seed: Iterable[int],
    volume: int,
    incidents: Mapping[Incident, Sequence[str]],
    history: timedelta = HISTORY,
) -> Iterator[Trial]:
    """What the rules say of incidents that begin at the same instant, in traffic without a rhythm.

    So that each is tried at that volume, and not by day at a larger one and by night at a smaller.

    Args:
        seed: Of the traffic.
        volume: Executions an hour.
        incidents: What goes wrong, and the rules that might find it.
        history: How much traffic lies before.
    """
    rng = np.random.default_rng([*seed])
    begin = MONDAY + int(rng.integers(HOUR // STEP)) * STEP
    start = hour_floor(begin - history)
    before = cache(simulate(rng, start, begin - start, volume, is_even=True).measures)
    for incident, names in incidents.items():
        end = begin + incident.lasting + _AFTERWARDS
        during = simulate(rng, begin, end - begin, volume, incident, is_even=True)
        for success, lines in _by_success(names).items():
            reader = Simulated(start, before(success), during.measures(success, incident))
            watch = _Watch(lines, reader)
            for at in _instants(begin - _WARM_UP, end):
                watch.look(at)
            for (line, mode), episodes in watch.episodes.items():
                found = [one.fired_at for one in episodes if one.fired_at > begin]
                yield Trial(
                    incident=incident.name,
                    line=line,
                    mode=mode,
                    volume=volume,
                    delay=(found[0] - begin) / timedelta(minutes=1) if found else None,
                )


@dataclass
class _Episode:
    """An incident that fired."""

    fired_at: datetime
    is_critical: bool = False


class _Scope:
    """One scope of one rule, as the incident store sees it."""

    def __init__(self, rule: Rule, episodes: list[_Episode]) -> None:
        self._rule = rule
        self._episodes = episodes
        self._incident: Told | None = None
        self._counter = 0

    def observe(self, alert: Alert, at: datetime) -> None:
        """Take a verdict in."""
        severity = _SEVERITIES.get(alert.verdict)
        is_calm = self._incident is None and severity is None
        if is_calm or alert.verdict is Verdict.INSUFFICIENT_DATA:
            return
        finding = Finding(
            rule=alert.rule,
            scope=alert.scope,
            severity=severity,
            is_recovered=alert.is_recovered,
            evaluations=self._rule.evaluations,
            summary="",
            value=None,
            samples=0,
            limit=None,
            direction=alert.direction,
            window_start=None,
            window_end=None,
            runbook="",
            owner="",
        )
        was = self._incident
        self._incident, self._counter = next_incident(was, self._counter, finding, at) or (None, 0)
        if self._incident is None or self._incident.state is IncidentState.PENDING:
            return
        if was is None or was.state is IncidentState.PENDING:
            self._episodes.append(_Episode(at))
        self._episodes[-1].is_critical |= self._incident.severity is Severity.CRITICAL
        if self._incident.state is IncidentState.RESOLVED:
            self._incident = None


class _Watch:
    """Some rules over some traffic.

    Attributes:
        episodes: The incidents of each rule and mode, of all its scopes.
    """

    def __init__(self, lines: Iterable[str], reader: Simulated) -> None:
        self._reader = reader
        self._lines = {
            f"{line}, {mode}": (line, mode) for line in lines for mode in LINES[line].modes
        }
        rules = {name: rule_of(*line) for name, line in self._lines.items()}
        self._config = MonitoringConfig(rules=rules)
        self._scopes: dict[tuple[str, str], _Scope] = {}
        self.episodes: dict[tuple[str, Mode], list[_Episode]] = {
            line: [] for line in self._lines.values()
        }

    def look(self, at: datetime) -> None:
        """Evaluate as of an instant."""
        self._reader.speak_for(at)
        alerts = evaluate(self._reader, self._config)
        for alert in alerts:
            key = alert.rule, alert.scope
            if key not in self._scopes:
                episodes = self.episodes[self._lines[alert.rule]]
                self._scopes[key] = _Scope(self._config.rules[alert.rule], episodes)
            self._scopes[key].observe(alert, at)
        self._reader.remember(alert for alert in alerts if alert.mode == "confident")


@cache
def _shipped_rules() -> Mapping[str, Rule]:
    return load_config(shipped("config", "monitoring.yaml")).rules


def rule_of(name: str, mode: Mode) -> Rule:
    """The shipped rule of a line, in a mode."""
    line = LINES[name]
    given = {"measurement": line.rule, "mode": mode, **line.given}
    return msgspec.structs.replace(_shipped_rules()[line.rule], **given)


def _by_success(lines: Iterable[str]) -> Mapping[float, list[str]]:
    """Lines by the part of the executions that succeeds: each is traffic of its own."""
    found: dict[float, list[str]] = {}
    for line in lines:
        found.setdefault(LINES[line].success, []).append(line)
    return found


def _instants(first: datetime, last: datetime) -> Iterator[datetime]:
    """Each step from one instant to another, both included."""
    return (first + step * STEP for step in range((last - first) // STEP + 1))
