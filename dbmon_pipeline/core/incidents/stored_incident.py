"""Storage of incidents: each as JSON, beside the columns that it is found by."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from dbmon_pipeline.core.config.rule import Severity
from dbmon_pipeline.core.incidents.incident import Incident
from dbmon_pipeline.core.incidents.sqlite_file import text


@dataclass(frozen=True, kw_only=True)
class KeptIncident:
    """Incident as it is stored.

    Attributes:
        incident: The incident.
        counter: Evaluations in a row: bad ones while it is pending, good ones while it recovers.
        told: The worst that was told of it; None if nothing was.
        told_at: When it was told last.
        told_targets: Who was told anything.
    """

    incident: Incident
    counter: int = 0
    told: Severity | None = None
    told_at: datetime | None = None
    told_targets: tuple[str, ...] = ()


def stored(con: sqlite3.Connection, kept: KeptIncident) -> KeptIncident:
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


def kept_open(con: sqlite3.Connection) -> list[KeptIncident]:
    """List the incidents that are not over, by number."""
    return kept_where(con, "state <> 'resolved' ORDER BY number")


def kept_where(con: sqlite3.Connection, condition: str, *values: object) -> list[KeptIncident]:
    """List the incidents that match a condition, which may go on with an order and a limit."""
    found = con.execute(f"SELECT kept, number FROM incidents WHERE {condition}", values).fetchall()
    return [
        _numbered(msgspec.json.decode(kept, type=KeptIncident), number) for kept, number in found
    ]


def _numbered(kept: KeptIncident, number: int) -> KeptIncident:
    return replace(kept, incident=replace(kept.incident, number=number))
