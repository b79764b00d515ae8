"""Incident store: the incidents, their owners, and the notifications that were sent.

One SQLite file, the only state that several processes write at the same time. Each write is one
transaction: a transition and the notifications that tell of it are stored together or not at all.
What is to be told is derived from what was told, so nothing is told twice and nothing is missed,
however long a silence lasts or a process is dead.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from dbmon_pipeline.core.common.errors import IncidentError
from dbmon_pipeline.core.common.instants import HOUR
from dbmon_pipeline.core.incidents.incident import Finding, Incident, IncidentState, Kind, Silence
from dbmon_pipeline.core.incidents.lifecycle import UNSEEN, ended, next_incident
from dbmon_pipeline.core.incidents.outbox import Outbox
from dbmon_pipeline.core.incidents.silences import Silences
from dbmon_pipeline.core.incidents.sqlite_file import one_of, text
from dbmon_pipeline.core.incidents.stored_incident import (
    KeptIncident,
    kept_open,
    kept_where,
    stored,
)


class Incidents(Outbox, Silences):
    """Incident store, open, all of it.

    Attributes:
        path: The file.
        notifications: Who is told, and how often that is tried.
    """

    def observe(
        self, findings: Sequence[Finding], at: datetime, *, complete: bool = True
    ) -> list[Incident]:
        """Take in one evaluation round: move incidents on, and queue the notifications due.

        A fingerprint that was judged at ``at`` or later stays as it is, so a round can be repeated.

        Args:
            findings: What was found.
            at: The instant that the round speaks for.
            complete: Whether the findings are those of all rules, so that incidents of what is
                missing are over. Rules whose names begin with ``_`` are not meant.

        Returns:
            The incidents whose state or severity has changed, by number.

        Raises:
            IncidentError: The file cannot be written.
        """
        changed = []
        with self._transaction() as con:
            self._drop_ended_silences(at)
            judged = {
                name: datetime.fromisoformat(when)
                for name, when in con.execute("SELECT fingerprint, at FROM rounds")
            }
            before = {kept.incident.finding.fingerprint: kept for kept in kept_open(con)}
            after: dict[str, KeptIncident | None] = dict(before)
            late = {name for name, when in judged.items() if when >= at}
            fresh = {
                finding.fingerprint: finding
                for finding in findings
                if finding.is_known and finding.fingerprint not in late
            }
            for name, finding in fresh.items():
                after[name] = _moved(before.get(name), finding, at)
            if complete:
                rules = {finding.rule for finding in findings}
                missing = before.keys() - late - {finding.fingerprint for finding in findings}
                for name in missing:
                    rule = before[name].incident.finding.rule
                    is_gone = rule not in rules or at - judged[name] >= UNSEEN
                    if is_gone and not rule.startswith("_"):
                        after[name] = _ended(before[name], at)
            con.executemany(
                "INSERT OR REPLACE INTO rounds VALUES (?, ?)", [(name, text(at)) for name in fresh]
            )
            silences = self.silences(at)
            for name, now in after.items():
                was = before.get(name)
                if now is None:
                    if was is not None:
                        number = was.incident.number
                        con.execute("DELETE FROM incidents WHERE number = ?", (number,))
                    continue
                if now != was:
                    now = stored(con, now)
                if name not in late:
                    self._tell(con, now, at, silences)
                if was is None or not _is_same(was.incident, now.incident):
                    changed.append(now.incident)
        return sorted(changed, key=lambda incident: incident.number)

    def open_incidents(self) -> list[Incident]:
        """List the incidents that are not over, pending ones too: the worst first, then the oldest.

        Raises:
            IncidentError: The file cannot be read.
        """
        with self._errors():
            found = [kept.incident for kept in kept_open(self._con)]
        return sorted(found, key=lambda one: (-one.severity.badness, one.opened_at, one.number))

    def history(self, since: datetime | None, limit: int) -> list[Incident]:
        """List the incidents that have fired, the newest first.

        Args:
            since: Incidents that were over before then are left out.
            limit: How many at the most.

        Raises:
            IncidentError: The file cannot be read.
        """
        with self._errors():
            found = kept_where(
                self._con,
                "state <> 'pending' AND (resolved_at IS NULL OR resolved_at >= ?)"
                " ORDER BY opened_at DESC, number DESC LIMIT ?",
                text(since or datetime.min),
                limit,
            )
        return [kept.incident for kept in found]

    def incident(self, number: int) -> Incident:
        """Return one incident.

        Raises:
            IncidentError: There is none of that number, or the file cannot be read.
        """
        with self._errors():
            # As text: SQLite compares it as a number, and no number is too big for it.
            found = kept_where(self._con, "number = ?", str(number))
        if not found:
            raise IncidentError(
                f"there is no incident {number}", remedy="name one of those that are listed"
            )
        return found[0].incident

    def acknowledge(self, number: int, by: str, at: datetime) -> Incident:
        """Acknowledge an incident; it notifies again only if it escalates.

        Args:
            number: The incident. If it was taken on already, it changes hands.
            by: Who takes it on.
            at: When.

        Raises:
            IncidentError: It is not open or not firing as yet, or the file cannot be written.
        """
        with self._transaction() as con:
            able = {
                kept.incident.number: kept
                for kept in kept_open(con)
                if kept.incident.state is not IncidentState.PENDING
            }
            if number not in able:
                raise IncidentError(f"incident {number} is not open", remedy=one_of([*able]))
            incident = replace(able[number].incident, acknowledged_by=by)
            if incident.state is IncidentState.FIRING:
                incident = replace(incident, state=IncidentState.ACKNOWLEDGED, changed_at=at)
            stored(con, replace(able[number], incident=incident))
        return incident

    def forget(self, before: datetime) -> None:
        """Remove incidents and notifications that have been over since before an instant.

        These are resolved incidents, and notifications that were sent, given up, or wait for a
        target that is not told any more.

        Raises:
            IncidentError: The file cannot be written.
        """
        with self._transaction() as con:
            self._forget_notifications(before)
            con.execute("DELETE FROM incidents WHERE resolved_at < ?", (text(before),))
            con.execute(
                "DELETE FROM rounds WHERE at < ? AND fingerprint NOT IN"
                " (SELECT fingerprint FROM incidents WHERE state <> 'resolved')",
                (text(before),),
            )

    def _tell(
        self, con: sqlite3.Connection, kept: KeptIncident, at: datetime, silences: Sequence[Silence]
    ) -> None:
        """Put the news of an incident that people do not know yet into the outbox."""
        match self._news(kept, at, silences):
            case None:
                return
            case Kind.RESOLVED as kind:
                targets = [*filter(self._is_told, kept.told_targets)]
            case kind:
                targets = self._targets(kept.incident)
        severity = kept.incident.severity
        if targets:
            self._put(kind, targets, kept.incident, at)
            told = replace(
                kept,
                told=max(kept.told or severity, severity, key=lambda one: one.badness),
                told_at=at,
                told_targets=tuple(dict.fromkeys((*kept.told_targets, *targets))),
            )
            stored(con, told)

    def _news(self, kept: KeptIncident, at: datetime, silences: Sequence[Silence]) -> Kind | None:
        incident = kept.incident
        if incident.state is IncidentState.RESOLVED:
            return Kind.RESOLVED
        is_firing = incident.state is IncidentState.FIRING
        if not is_firing and incident.state is not IncidentState.ACKNOWLEDGED:
            return None
        if any(silence.covers(incident) for silence in silences):
            return None
        if kept.told is None:
            return Kind.OPENED
        if incident.severity.badness > kept.told.badness:
            return Kind.ESCALATED
        if is_firing and kept.told_at is not None:
            hours = (at - kept.told_at) / HOUR
            return Kind.REMINDER if hours >= self.notifications.reminder_hours else None
        return None

    def _targets(self, incident: Incident) -> list[str]:
        return [
            name
            for name, target in self.notifications.targets.items()
            if target.enabled
            and incident.severity in target.severities
            and (not target.owners or incident.finding.owner in target.owners)
        ]


def _moved(kept: KeptIncident | None, finding: Finding, at: datetime) -> KeptIncident | None:
    incident, counter = (kept.incident, kept.counter) if kept else (None, 0)
    after = next_incident(incident, counter, finding, at)
    if after is None:
        return None
    incident, counter = after
    return replace(kept or KeptIncident(incident=incident), incident=incident, counter=counter)


def _ended(kept: KeptIncident, at: datetime) -> KeptIncident | None:
    """Resolve a stored incident whose scope is no longer evaluated; None if it never fired."""
    incident = ended(kept.incident, at)
    return replace(kept, incident=incident, counter=0) if incident else None


def _is_same(one: Incident, other: Incident) -> bool:
    return (one.state, one.severity) == (other.state, other.severity)
