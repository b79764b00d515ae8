"""Transitions of an incident with each finding about it.

``pending`` → ``firing`` → ``acknowledged`` → ``recovering`` → ``resolved``: it takes several bad
evaluations in a row to fire, and several good ones, beyond the recovery margin, to be over.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from dbmon_pipeline.core.common.instants import DAY
from dbmon_pipeline.core.incidents.incident import Finding, Incident, IncidentState

UNSEEN = DAY
"""An incident whose scope was not judged for so long is over."""


def next_incident(
    was: Incident | None, counter: int, finding: Finding, at: datetime
) -> tuple[Incident, int] | None:
    """Return the incident after a finding that is known.

    Args:
        was: The incident before; None if there was none.
        counter: Evaluations in a row: bad ones while it is pending, good ones while it recovers.
        finding: What was found.
        at: When.

    Returns:
        The incident and its counter; None if there is none, or it never was one. A new incident
        has the number 0.
    """
    state, counter = _step(was, counter, finding)
    severity = finding.severity or (was.severity if was else None)
    if state is None or severity is None:
        return None
    if was is None:
        was = Incident(
            number=0,
            state=state,
            severity=severity,
            worst=severity,
            opened_at=at,
            changed_at=at,
            resolved_at=None,
            acknowledged_by=None,
            finding=finding,
        )
    is_same = (state, severity) == (was.state, was.severity)
    incident = replace(
        was,
        state=state,
        severity=severity,
        worst=severity if severity.badness > was.worst.badness else was.worst,
        changed_at=was.changed_at if is_same else at,
        resolved_at=at if state is IncidentState.RESOLVED else None,
        finding=finding,
    )
    return incident, counter


def resolve(was: Incident, at: datetime) -> Incident | None:
    """Resolve an incident whose scope is no longer evaluated; None if it never fired."""
    if was.state is IncidentState.PENDING:
        return None
    return replace(was, state=IncidentState.RESOLVED, changed_at=at, resolved_at=at)


def _step(was: Incident | None, counter: int, finding: Finding) -> tuple[IncidentState | None, int]:
    """Return the state of an incident after a finding, and its counter; None is no incident."""
    is_new = was is None or was.state is IncidentState.PENDING
    if finding.severity is not None:
        if is_new and counter + 1 < finding.evaluations:
            return IncidentState.PENDING, counter + 1
        is_taken = was is not None and was.acknowledged_by is not None
        return (IncidentState.ACKNOWLEDGED if is_taken else IncidentState.FIRING), 0
    if was is None or is_new:
        return None, 0
    if not finding.is_recovered:
        return was.state, 0
    if counter + 1 < finding.evaluations:
        return IncidentState.RECOVERING, counter + 1
    return IncidentState.RESOLVED, 0
