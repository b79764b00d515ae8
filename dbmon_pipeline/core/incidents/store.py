"""Incident store: the incidents, their owners, and the notifications that were sent.

One SQLite file, the only state that several processes write at the same time. Each write is one
transaction: a transition and its notifications are stored together or not at all. The notification
that is due follows from those that were queued, so none is queued twice and none is missed, however
long a silence lasts or a process is dead.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import msgspec

from dbmon_pipeline.core.common.errors import IncidentError
from dbmon_pipeline.core.common.instants import HOUR
from dbmon_pipeline.core.incidents.incident import Finding, Incident, IncidentState, Kind, Silence
from dbmon_pipeline.core.incidents.lifecycle import UNSEEN, next_incident, resolve
from dbmon_pipeline.core.incidents.outbox import Outbox
from dbmon_pipeline.core.incidents.silences import Silences
from dbmon_pipeline.core.incidents.sqlite_file import one_of, text
from dbmon_pipeline.core.incidents.stored_incident import (
    StoredIncident,
    load_open,
    load_where,
    save,
)


class Incidents(Outbox, Silences):
    """Incident store, open, all of it.

    Attributes:
        path: The file.
        notifications: The targets, and how often each is tried.
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
            before = {kept.incident.finding.fingerprint: kept for kept in load_open(con)}
            late = {name for name, when in judged.items() if when >= at}
            fresh = {
                finding.fingerprint: finding
                for finding in findings
                if finding.is_known and finding.fingerprint not in late
            }
            after = before | {
                name: _advance(before.get(name), finding, at) for name, finding in fresh.items()
            }
            if complete:
                rules = {finding.rule for finding in findings}
                missing = before.keys() - late - {finding.fingerprint for finding in findings}
                rule_of = {name: before[name].incident.finding.rule for name in missing}
                after |= {
                    name: _resolve(before[name], at)
                    for name, rule in rule_of.items()
                    if rule not in rules or at - judged[name] >= UNSEEN
                    if not rule.startswith("_")
                }
            con.executemany(
                "INSERT OR REPLACE INTO rounds VALUES (?, ?)", [(name, text(at)) for name in fresh]
            )
            silences = self.silences(at)
            for name, now in after.items():
                was = before.get(name)
                if now is None:
                    if was is not None:
                        con.execute(
                            "DELETE FROM incidents WHERE number = ?", (was.incident.number,)
                        )
                    continue
                if now != was:
                    now = save(con, now)
                if name not in late:
                    self._notify(con, now, at, silences)
                if was is None or not _is_same(was.incident, now.incident):
                    changed.append(now.incident)
        return sorted(changed, key=lambda incident: incident.number)

    def open_incidents(self) -> list[Incident]:
        """List the incidents that are not over, pending ones too: the worst first, then the oldest.

        Raises:
            IncidentError: The file cannot be read.
        """
        with self._errors():
            incidents = [kept.incident for kept in load_open(self._con)]
        return sorted(
            incidents,
            key=lambda incident: (-incident.severity.badness, incident.opened_at, incident.number),
        )

    def history(self, since: datetime | None, limit: int) -> list[Incident]:
        """List the incidents that have fired, the newest first.

        Args:
            since: Incidents that were over before then are left out.
            limit: How many at the most.

        Raises:
            IncidentError: The file cannot be read.
        """
        with self._errors():
            incidents = load_where(
                self._con,
                "state <> 'pending' AND (resolved_at IS NULL OR resolved_at >= ?)"
                " ORDER BY opened_at DESC, number DESC LIMIT ?",
                text(since or datetime.min),
                limit,
            )
        return [kept.incident for kept in incidents]

    def incident(self, number: int) -> Incident:
        """Return one incident.

        Raises:
            IncidentError: There is none of that number, or the file cannot be read.
        """
        with self._errors():
            # As text: SQLite compares it as a number, and no number is too big for it.
            incidents = load_where(self._con, "number = ?", str(number))
        if not incidents:
            raise IncidentError(
                f"there is no incident {number}", remedy="name one of those that are listed"
            )
        return incidents[0].incident

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
                for kept in load_open(con)
                if kept.incident.state is not IncidentState.PENDING
            }
            if number not in able:
                raise IncidentError(f"incident {number} is not open", remedy=one_of([*able]))
            incident = replace(able[number].incident, acknowledged_by=by)
            if incident.state is IncidentState.FIRING:
                incident = replace(incident, state=IncidentState.ACKNOWLEDGED, changed_at=at)
            save(con, msgspec.structs.replace(able[number], incident=incident))
        return incident

    def forget(self, before: datetime) -> None:
        """Remove incidents and notifications that have been over since before an instant.

        These are resolved incidents, and notifications that were sent, given up, or wait for a
        target that is not notified any more.

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

    def _notify(
        self,
        con: sqlite3.Connection,
        kept: StoredIncident,
        at: datetime,
        silences: Sequence[Silence],
    ) -> None:
        """Queue the notification that is due about an incident, if there is one."""
        kind, severity = self._kind_due(kept, at, silences), kept.incident.severity
        resolved = kind is Kind.RESOLVED
        targets = kept.notified_targets if resolved else self._targets(kept.incident)
        targets = tuple(filter(self._is_notified, targets))
        if kind and targets:
            self._queue(kind, targets, kept.incident, at)
            notified = msgspec.structs.replace(
                kept,
                notified_severity=max(
                    kept.notified_severity or severity, severity, key=lambda one: one.badness
                ),
                notified_at=at,
                notified_targets=tuple(dict.fromkeys((*kept.notified_targets, *targets))),
            )
            save(con, notified)

    def _kind_due(
        self, kept: StoredIncident, at: datetime, silences: Sequence[Silence]
    ) -> Kind | None:
        """Choose the kind of notification that is due; None if there is nothing new."""
        incident = kept.incident
        if incident.state is IncidentState.RESOLVED:
            return Kind.RESOLVED
        is_firing = incident.state is IncidentState.FIRING
        if not is_firing and incident.state is not IncidentState.ACKNOWLEDGED:
            return None
        if any(silence.covers(incident) for silence in silences):
            return None
        if kept.notified_severity is None or kept.notified_at is None:
            return Kind.OPENED
        if incident.severity.badness > kept.notified_severity.badness:
            return Kind.ESCALATED
        hours = (at - kept.notified_at) / HOUR
        is_reminded = is_firing and hours >= self.notifications.reminder_hours
        return Kind.REMINDER if is_reminded else None

    def _targets(self, incident: Incident) -> tuple[str, ...]:
        """List the targets whose severities and owners are those of an incident."""
        return tuple(
            name
            for name, target in self.notifications.targets.items()
            if incident.severity in target.severities
            and (not target.owners or incident.finding.owner in target.owners)
        )


def _advance(kept: StoredIncident | None, finding: Finding, at: datetime) -> StoredIncident | None:
    incident, counter = (kept.incident, kept.counter) if kept else (None, 0)
    after = next_incident(incident, counter, finding, at)
    if after is None:
        return None
    kept = kept or StoredIncident(incident=after[0])
    return msgspec.structs.replace(kept, incident=after[0], counter=after[1])


def _resolve(kept: StoredIncident, at: datetime) -> StoredIncident | None:
    """Resolve a stored incident whose scope is no longer evaluated; None if it never fired."""
    incident = resolve(kept.incident, at)
    return msgspec.structs.replace(kept, incident=incident, counter=0) if incident else None


def _is_same(one: Incident, other: Incident) -> bool:
    return (one.state, one.severity) == (other.state, other.severity)
