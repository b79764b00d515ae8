"""Replay: the verdicts that the rules would have given on the past, and the incidents from them.

The rules are evaluated as of one instant after another, as the pipeline does it: every five minutes
while the executions themselves are published, every hour before. Where that is every hour, one bad
evaluation stands for the twelve that would have been: `for` counts minutes rather than looks.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from statistics import median

import msgspec

from dbmon_pipeline.core.alerting.check_history import record
from dbmon_pipeline.core.alerting.evaluate import evaluate
from dbmon_pipeline.core.alerting.measurements import WIDEST
from dbmon_pipeline.core.alerting.verdicts import Alert, Verdict
from dbmon_pipeline.core.common.errors import NotPublishedError
from dbmon_pipeline.core.common.instants import HOUR, hour_floor, iso
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.config.rule import Rule, Severity, length_of
from dbmon_pipeline.core.incidents.incident import Incident, IncidentState
from dbmon_pipeline.core.incidents.lifecycle import UNSEEN, next_incident, resolve
from dbmon_pipeline.core.incidents.observe import finding
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.replay.past import Past

UNKNOWN_IN_THE_PAST = frozenset({"database_size", "source_freshness"})
"""Measurements of the source as it is now: nobody knows what they were."""

_STEP = timedelta(minutes=5)
_FLAP = timedelta(hours=6)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Episode:
    """Incident that would have been opened.

    Attributes:
        rule: The rule.
        scope: What was measured.
        severity: How bad it was at worst.
        fired_at: When people would have been notified, naive UTC.
        resolved_at: When it was over; None if it is not.
        summary: The sentence of the notification when it was at its worst first.
    """

    rule: str
    scope: str
    severity: Severity
    fired_at: datetime
    resolved_at: datetime | None
    summary: str


@dataclass(frozen=True, kw_only=True)
class RuleReplay:
    """Replay of one rule.

    Attributes:
        rule: The rule.
        episodes: The incidents that it would have opened, in their order.
        flaps: How many of them opened within six hours of the end of the one before.
        share_beyond_limit: Which part of the time that it could judge a value was beyond a limit.
        unknown: Which part of all the time there was too little to judge.
        usual: The median of the plain values that had enough samples.
    """

    rule: str
    episodes: tuple[Episode, ...]
    flaps: int
    share_beyond_limit: float
    unknown: float
    usual: float | None

    def durations(self, end: datetime) -> list[timedelta]:
        """List the lengths of the episodes; an open one is taken to end with the replay."""
        return [(episode.resolved_at or end) - episode.fired_at for episode in self.episodes]


@dataclass(frozen=True, kw_only=True)
class Replay:
    """Replay of the rules of one rules file.

    Attributes:
        start: The first instant, naive UTC.
        fine_from: From when on it was looked every five minutes; every hour before.
        end: The last instant.
        rules: Each rule that can be replayed and is enabled.
        left_out: The enabled rules on what is not known of the past.
    """

    start: datetime
    fine_from: datetime
    end: datetime
    rules: tuple[RuleReplay, ...]
    left_out: tuple[str, ...]


def replay(
    published: Published, config: MonitoringConfig, since: datetime, until: datetime
) -> Replay:
    """Evaluate the rules over the past.

    Args:
        published: What is published of it.
        config: The rules.
        since: Where to begin, at the first execution at the earliest.
        until: Where to end, at the latest up to where the source had been read.

    Raises:
        NotPublishedError: A published file is damaged or gone, or nothing lies in between.
    """
    enabled = {name: rule for name, rule in config.rules.items() if rule.enabled}
    rules = {
        name: rule for name, rule in enabled.items() if rule.judges(name) not in UNKNOWN_IN_THE_PAST
    }
    config = msgspec.structs.replace(config, rules=rules)
    longest = _longest_window(rules.values())
    past = Past(published, max(since, datetime.min + longest) - longest)
    end = min(until, published.manifest.data_through)
    instants = list(_instants(max(since, past.first), past.rows_from, end))
    if not instants:
        raise NotPublishedError(
            f"there is nothing to replay between {iso(since)} and {iso(end)}",
            remedy=f"begin earlier; executions begin at {iso(past.first)}",
        )
    past.begin(instants[0][0])
    records = {name: _Record(rule) for name, rule in rules.items()}
    for number, (at, step) in enumerate(instants):
        if number % max(len(instants) // 10, 1) == 0:
            logger.info("replayed %d of %d instants, up to %s", number, len(instants), iso(at))
        past.speak_for(at)
        alerts = evaluate(past, config)
        past.remember(alerts)
        for name, tally in records.items():
            tally.take([alert for alert in alerts if alert.rule == name], at, step)
    return Replay(
        start=instants[0][0],
        fine_from=next((at for at, step in instants if step == _STEP), end),
        end=instants[-1][0],
        rules=tuple(tally.result(name) for name, tally in records.items()),
        left_out=tuple(enabled.keys() - rules.keys()),
    )


def _longest_window(rules: Iterable[Rule]) -> timedelta:
    windows = (window for rule in rules for window in (rule.window, *rule.windows))
    return max((length_of(window) for window in windows), default=HOUR) + WIDEST


def _instants(
    since: datetime, rows_from: datetime, until: datetime
) -> Iterator[tuple[datetime, timedelta]]:
    """List the instants to look at, and how far each lies from the one before."""
    fine_from = rows_from + HOUR  # Before, the shortest window is not made from executions.
    at = hour_floor(since) + HOUR
    step = _STEP if at > fine_from else HOUR
    while at <= until:
        yield at, step
        step = _STEP if at >= fine_from else HOUR
        at += step


@dataclass
class _Open:
    """Incident that is not over."""

    incident: Incident
    counter: int
    judged_at: datetime
    fired_at: datetime | None = None
    summary: str = ""
    summary_severity: Severity | None = None


@dataclass
class _Record:
    """Record of one rule, up to an instant."""

    rule: Rule
    _open: dict[str, _Open] = field(default_factory=dict)
    _episodes: list[Episode] = field(default_factory=list)
    _lengths: dict[str, timedelta] = field(default_factory=lambda: defaultdict(timedelta))
    _values: list[float] = field(default_factory=list)

    def take(self, alerts: list[Alert], at: datetime, step: timedelta) -> None:
        """Take in the alerts of the rule as of an instant."""
        # Evaluations in a row last as long as they would five minutes apart.
        evaluations = max(1, math.ceil(self.rule.evaluations * (_STEP / step)))
        rule = msgspec.structs.replace(self.rule, evaluations=evaluations)
        for alert in alerts:
            self._move(alert, rule, at)
            if alert.raw.value is not None and alert.raw.samples >= rule.min_samples:
                self._values.append(alert.raw.value)
        for scope, one in list(self._open.items()):
            if at - one.judged_at >= UNSEEN:
                self._close(scope, resolve(one.incident, at))
        badness = max((alert.verdict.badness for alert in alerts), default=-1)
        self._lengths["unknown" if badness < 0 else "beyond" if badness else "calm"] += step

    def _move(self, alert: Alert, rule: Rule, at: datetime) -> None:
        if alert.verdict is Verdict.INSUFFICIENT_DATA:
            return
        was = self._open.get(alert.scope)
        incident, counter = (was.incident, was.counter) if was else (None, 0)
        after = next_incident(incident, counter, finding(record(alert, at), rule), at)
        if after is None or after[0].state is IncidentState.RESOLVED:
            self._close(alert.scope, after[0] if after else None)
            return
        incident, counter = after
        now = replace(was, incident=incident, counter=counter) if was else _Open(*after, at)
        now.judged_at = at
        if incident.state is IncidentState.FIRING:
            now.fired_at = now.fired_at or at
            if incident.worst is not now.summary_severity:
                now.summary_severity, now.summary = incident.worst, incident.finding.summary
        self._open[alert.scope] = now

    def _close(self, scope: str, incident: Incident | None) -> None:
        """Close the open incident of a scope; if it fired, it becomes an episode."""
        one = self._open.pop(scope, None)
        if one and one.fired_at:
            self._episodes.append(
                Episode(
                    rule=one.incident.finding.rule,
                    scope=scope,
                    severity=one.incident.worst,
                    fired_at=one.fired_at,
                    resolved_at=incident.resolved_at if incident else None,
                    summary=one.summary,
                )
            )

    def result(self, name: str) -> RuleReplay:
        """Return the replay of the rule; open incidents stay open."""
        for scope in list(self._open):
            self._close(scope, None)
        episodes = sorted(self._episodes, key=lambda one: (one.fired_at, one.scope))
        known = self._lengths["beyond"] + self._lengths["calm"]
        return RuleReplay(
            rule=name,
            episodes=tuple(episodes),
            flaps=_flaps(episodes),
            share_beyond_limit=self._lengths["beyond"] / known if known else 0.0,
            unknown=self._lengths["unknown"] / (known + self._lengths["unknown"]),
            usual=median(self._values) if self._values else None,
        )


def _flaps(episodes: Iterable[Episode]) -> int:
    ends: dict[str, datetime] = {}
    flaps = 0
    for episode in episodes:
        over = ends.get(episode.scope)
        flaps += over is not None and episode.fired_at - over < _FLAP
        if episode.resolved_at:
            ends[episode.scope] = episode.resolved_at
    return flaps
