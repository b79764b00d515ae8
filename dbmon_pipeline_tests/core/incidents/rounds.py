"""What tests of incidents share: findings, rounds of them, and what was told of those."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from dbmon_pipeline.core.config.notifications import Notifications, TargetConfig
from dbmon_pipeline.core.config.rule import Severity
from dbmon_pipeline.core.incidents.incident import Finding, Notification
from dbmon_pipeline.core.incidents.store import Incidents

START = datetime(2026, 3, 2, 12)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
W, C = Severity.WARNING, Severity.CRITICAL
LEASE = 2 * MINUTE
FAR = datetime(2100, 1, 1)


def target(**more: Any) -> TargetConfig:
    """A target that is told of everything, or as given."""
    return TargetConfig(kind="apprise", url="json://localhost", **more)


EVERYBODY = Notifications(targets={"team": target()})


def finding(
    severity: Severity | None = None, rule: str = "success_rate", scope: str = "all", **more: Any
) -> Finding:
    """A finding of a rule; a good one if it has no severity."""
    given = {
        "summary": f"{rule} is 61.0% of 41 executions",
        "value": 0.61,
        "samples": 41,
        "limit": 0.7,
        "direction": "below",
        "window_start": START - HOUR,
        "window_end": START,
        "runbook": "success-rate",
        "owner": "ops",
        **more,
    }
    return Finding(rule=rule, scope=scope, severity=severity, **given)


def using(store: Incidents, **notifications: Any) -> Incidents:
    """The same file under another configuration."""
    store.close()
    return Incidents(store.path, notifications=Notifications(**notifications))


def play(store: Incidents, *rounds: Finding | None, start: datetime = START) -> list[str]:
    """One round a minute; where the incident stood after each, ``-`` if nothing is open."""
    stood = []
    for number, found in enumerate(rounds):
        store.observe([found] if found else [], start + number * MINUTE, complete=False)
        stood.append(stands(store))
    return stood


def stands(store: Incidents) -> str:
    """The state and severity of the one open incident."""
    opened = store.open_incidents()
    assert len(opened) <= 1
    return f"{opened[0].state} {opened[0].severity}" if opened else "-"


def told(store: Incidents) -> list[tuple[str, str, str]]:
    """All that was put into the outbox and not taken so far: target, kind and severity."""
    claimed = store.due(FAR, lease=timedelta(0))
    every = sorted(
        (one for several in claimed.values() for one in several), key=lambda one: one.number
    )
    store.sent([one.number for one in every], START)
    return [(one.target, one.kind, one.incident.severity) for one in every]


def numbers(claimed: dict[str, list[Notification]]) -> list[int]:
    """The numbers of all that was claimed, target by target."""
    return [one.number for several in claimed.values() for one in several]


OPENED_W = ("team", "opened", "warning")
OPENED_C = ("team", "opened", "critical")
ESCALATED = ("team", "escalated", "critical")
RESOLVED_W = ("team", "resolved", "warning")
RESOLVED_C = ("team", "resolved", "critical")
REMINDED = ("team", "reminder", "warning")
GOOD, BETWEEN = finding(), finding(is_recovered=False)
