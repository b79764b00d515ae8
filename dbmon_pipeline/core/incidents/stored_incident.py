"""Storage of incidents: each as JSON, beside the columns that it is found by."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import datetime

import msgspec

from dbmon_pipeline.core.config.rule import Severity
from dbmon_pipeline.core.incidents.incident import Incident
from dbmon_pipeline.core.incidents.sqlite_file import text


class StoredIncident(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={
        "notified_severity": "told",
        "notified_at": "told_at",
        "notified_targets": "told_targets",
    },
):
    """Incident as it is stored.

    Attributes:
        incident: The incident.
        counter: Evaluations in a row: bad ones while it is pending, good ones while it recovers.
        notified_severity: The worst severity that was notified; None if nothing was.
        notified_at: When a notification was queued last.
        notified_targets: The targets of all notifications so far.
    """

    incident: Incident
    counter: int = 0
    notified_severity: Severity | None = None
    notified_at: datetime | None = None
    notified_targets: tuple[str, ...] = ()


def save(con: sqlite3.Connection, kept: StoredIncident) -> StoredIncident:
    """Store an incident; a new one gets its number."""
    incident = kept.incident
    (number,) = con.execute(
        "INSERT INTO incidents VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO UPDATE SET"
        " state = excluded.state, resolved_at = excluded.resolved_at, kept = excluded.kept"
        " RETURNING number",
        (
            incident.number or None,
            incident.finding.fingerprint,
            incident.state,
            text(incident.opened_at),
            text(incident.resolved_at) if incident.resolved_at else None,
            msgspec.json.encode(kept).decode(),
        ),
    ).fetchone()
    return _numbered(kept, number)


def load_open(con: sqlite3.Connection) -> list[StoredIncident]:
    """List the incidents that are not over, by number."""
    return load_where(con, "state <> 'resolved' ORDER BY number")


def load_where(con: sqlite3.Connection, condition: str, *values: object) -> list[StoredIncident]:
    """List the incidents that match a condition, which may go on with an order and a limit."""
    rows = con.execute(f"SELECT kept, number FROM incidents WHERE {condition}", values).fetchall()
    return [
        _numbered(msgspec.json.decode(kept, type=StoredIncident), number) for kept, number in rows
    ]


def _numbered(kept: StoredIncident, number: int) -> StoredIncident:
    return msgspec.structs.replace(kept, incident=replace(kept.incident, number=number))
