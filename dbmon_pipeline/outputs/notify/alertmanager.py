"""Prometheus' Alertmanager, API v2: it groups, silences and passes on what it is posted.

There an alert ends by itself unless it is posted again in time, and its labels say which one it is.
A severity is a label: an incident that has become worse is another alert there, so the one that it
was is ended in the same post.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import TypedDict
from urllib.parse import urlsplit, urlunsplit

import msgspec

from dbmon_pipeline.core.common.instants import iso
from dbmon_pipeline.core.common.safe_text import plain
from dbmon_pipeline.core.config.rule import Severity
from dbmon_pipeline.core.incidents.incident import Incident, IncidentState, Kind, Notification
from dbmon_pipeline.outputs.notify.message import details, summary
from dbmon_pipeline.outputs.notify.transport import request

RESEND_INTERVAL = timedelta(minutes=5)
"""Interval at which open incidents are to be posted again."""

_LASTS = 3 * RESEND_INTERVAL
_PATH = "/api/v2/alerts"
_TOLD = (IncidentState.FIRING, IncidentState.ACKNOWLEDGED, IncidentState.RECOVERING)
_LONGEST_LABEL = 1_000
"""Far enough that two scopes hardly ever become one alert."""


class _Alert(TypedDict):
    labels: dict[str, str]
    annotations: dict[str, str]
    startsAt: str
    endsAt: str


class Alertmanager:
    """Alertmanager, with the incidents that it is told of.

    Attributes:
        name: The name of the target.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        timeout: float,
        severities: Collection[Severity] = tuple(Severity),
        owners: Collection[str] = (),
    ) -> None:
        """Take what a target needs.

        Args:
            name: The name of the target.
            url: Where Alertmanager is, without the path of its API.
            timeout: Seconds for one request.
            severities: Of which severities it is told.
            owners: Of whose rules it is told; all if there are none.
        """
        self.name = name
        parts = urlsplit(url)
        path = parts.path.rstrip("/").removesuffix(_PATH) + _PATH
        self._url = urlunsplit(parts._replace(path=path))
        self._timeout = timeout
        self._severities = severities
        self._owners = owners

    def send(self, notifications: Sequence[Notification], at: datetime) -> None:
        """Tell of a group of notifications in one request.

        Args:
            notifications: The group, the oldest first.
            at: The present instant, naive UTC.

        Raises:
            NotificationError: Alertmanager did not answer with a 2xx.
        """
        alerts: list[_Alert] = []
        for notification in notifications:
            incident, ended = notification.incident, None
            if notification.kind is Kind.RESOLVED:
                ended = incident.resolved_at or at
            if notification.kind is Kind.ESCALATED or _is_less_bad(incident):
                alerts += self._others(incident, ended or at)
            alerts.append(_alert(incident, incident.severity, ended or at + _LASTS))
        self._post(alerts)

    def resend(self, incidents: Sequence[Incident], at: datetime) -> None:
        """Keep firing there what is open here and not merely pending.

        Args:
            incidents: All that are open; those that this target is not told of are left out.
            at: The present instant, naive UTC.

        Raises:
            NotificationError: Alertmanager did not answer with a 2xx.
        """
        alerts: list[_Alert] = []
        for incident in incidents:
            if incident.state in _TOLD and self._is_told(incident):
                # That an incident is less bad is no news for the outbox: its old alert is ended
                # here, until it would have ended by itself.
                if _is_less_bad(incident) and at - incident.changed_at <= _LASTS:
                    alerts += self._others(incident, incident.changed_at)
                alerts.append(_alert(incident, incident.severity, at + _LASTS))
        if alerts:
            self._post(alerts)

    def _is_told(self, incident: Incident) -> bool:
        is_owner = not self._owners or incident.finding.owner in self._owners
        return is_owner and incident.severity in self._severities

    def _others(self, incident: Incident, ended: datetime) -> list[_Alert]:
        """Build the alerts of the severities that an incident had before.

        Not for one that never had another: Alertmanager would tell people that it is over.
        """
        return [
            _alert(incident, severity, ended)
            for severity in self._severities
            if severity is not incident.severity
        ]

    def _post(self, alerts: Sequence[_Alert]) -> None:
        latest = {tuple(sorted(alert["labels"].items())): alert for alert in alerts}
        request(
            "POST",
            self._url,
            who=f"the Alertmanager {self.name}",
            timeout=self._timeout,
            body=msgspec.json.encode(list(latest.values())),
            headers={"Content-Type": "application/json"},
        )


def _is_less_bad(incident: Incident) -> bool:
    return incident.severity is not incident.worst


def _alert(incident: Incident, severity: Severity, ends_at: datetime) -> _Alert:
    finding = incident.finding
    labels = {_label(name): value for name, value in finding.labels.items()}
    labels |= {
        "alertname": finding.rule,
        "scope": finding.scope,
        "severity": severity,
        "owner": finding.owner,
    }
    return {
        "labels": {name: plain(value, _LONGEST_LABEL) for name, value in labels.items() if value},
        "annotations": {
            "summary": summary(incident),
            "description": details(incident),
            "runbook": f"RUNBOOK.md, section {plain(finding.runbook)}",
        },
        "startsAt": iso(incident.opened_at),
        "endsAt": iso(max(ends_at, incident.opened_at)),
    }


def _label(name: str) -> str:
    """Replace what Prometheus does not allow in a name."""
    allowed = re.sub("[^a-zA-Z0-9_]", "_", name)
    return f"_{allowed}" if allowed[:1].isdigit() else allowed
