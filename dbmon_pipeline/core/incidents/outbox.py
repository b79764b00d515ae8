"""Outbox: the notifications that are still to be sent.

A notification is put there in the transaction of the transition that it reports. A sender claims
it for a while, and it stays until it was sent or given up; so it is sent at least once, and for
each target the notifications of an incident keep their order.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from dbmon_pipeline.core.common.instants import HOUR
from dbmon_pipeline.core.config.notifications import Notifications
from dbmon_pipeline.core.incidents.incident import Incident, Kind, Notification
from dbmon_pipeline.core.incidents.sqlite_file import WAITS, IncidentFile, text

_FIRST_RETRY = timedelta(seconds=30)
_LONGEST_RETRY = HOUR
_MOST_DOUBLINGS = 7  # more of them are an hour in any case
_JITTER = 0.2
_LONGEST_ERROR = 500


_COLUMNS = "number, key, kind, target, created_at, attempts, last_error, given_up_at, snapshot"


class Outbox(IncidentFile):
    """Outbox part of the file of incidents; :class:`Incidents` is the whole of it.

    Attributes:
        path: The file.
        notifications: The targets, and how often each is tried.
    """

    def __init__(self, path: Path, *, notifications: Notifications) -> None:
        """Open the file, making it if it does not exist.

        Raises:
            IncidentError: It was made by a newer version, is damaged, or cannot be written.
        """
        super().__init__(path)
        self.notifications = notifications

    def due(self, at: datetime, *, lease: timedelta) -> dict[str, list[Notification]]:
        """Claim every notification that is to be sent now, by target, in order.

        No other sender gets one of them before the lease has ended; by then say what became of it
        with :meth:`sent` or :meth:`failed`. Send none after one of the same incident that failed.

        Raises:
            IncidentError: The file cannot be written.
        """
        with self._transaction() as con:
            rows = con.execute(
                f"SELECT {_COLUMNS} FROM notifications AS n WHERE {WAITS} AND ready_at <= :at"
                " AND NOT EXISTS ("
                f"SELECT 1 FROM notifications AS earlier WHERE {WAITS} AND ready_at > :at"
                " AND target = n.target AND incident = n.incident AND number < n.number)"
                " ORDER BY number",
                {"at": text(at)},
            ).fetchall()
            claimed: dict[str, list[Notification]] = {}
            for notification in map(_notification, rows):
                if self._is_notified(notification.target):
                    claimed.setdefault(notification.target, []).append(notification)
            until = text(at + lease)
            con.executemany(
                "UPDATE notifications SET ready_at = ? WHERE number = ?",
                [
                    (until, notification.number)
                    for notifications in claimed.values()
                    for notification in notifications
                ],
            )
        return claimed

    def sent(self, numbers: Iterable[int], at: datetime) -> None:
        """Note that notifications have reached their targets.

        Raises:
            IncidentError: The file cannot be written.
        """
        with self._transaction() as con:
            con.executemany(
                "UPDATE notifications SET sent_at = ? WHERE number = ?",
                [(text(at), number) for number in numbers],
            )

    def failed(self, numbers: Iterable[int], at: datetime, error: str) -> list[Notification]:
        """Note that notifications could not be sent: they wait, longer each time, or are given up.

        Returns:
            Those that are given up hereby.

        Raises:
            IncidentError: The file cannot be written.
        """
        why = error.encode(errors="replace").decode()[:_LONGEST_ERROR]
        given_up = []
        with self._transaction() as con:
            for number in numbers:
                row = con.execute(
                    "UPDATE notifications SET attempts = attempts + 1, last_error = ?"
                    f" WHERE number = ? AND {WAITS} RETURNING {_COLUMNS}",
                    (why, number),
                ).fetchone()
                if row is None:  # another sender has sent it meanwhile
                    continue
                notification = _notification(row)
                if notification.attempts >= self.notifications.attempts:
                    given_up.append(replace(notification, is_given_up=True))
                    column, then = "given_up_at", at
                else:
                    column, then = "ready_at", at + _pause(notification)
                con.execute(
                    f"UPDATE notifications SET {column} = ? WHERE number = ?", (text(then), number)
                )
        return given_up

    def undelivered(self) -> list[Notification]:
        """List the notifications that wait and those that were given up, in order.

        Raises:
            IncidentError: The file cannot be read.
        """
        select = f"SELECT {_COLUMNS} FROM notifications WHERE sent_at IS NULL ORDER BY number"
        with self._errors():
            return [_notification(row) for row in self._con.execute(select)]

    def _queue(self, kind: Kind, targets: Iterable[str], incident: Incident, at: datetime) -> None:
        """Queue notifications; inside the transaction of the transition that they report."""
        snapshot = msgspec.json.encode(incident).decode()
        self._con.executemany(
            "INSERT INTO notifications"
            " (key, kind, target, incident, snapshot, created_at, ready_at)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
            [
                (uuid.uuid4().hex, kind, target, incident.number, snapshot, text(at))
                for target in targets
            ],
        )

    def _forget_notifications(self, before: datetime) -> None:
        notified = [*filter(self._is_notified, self.notifications.targets)]
        self._con.execute(
            "DELETE FROM notifications WHERE sent_at < :before OR given_up_at < :before"
            " OR (created_at < :before AND target NOT IN (SELECT value FROM json_each(:notified)))",
            {"before": text(before), "notified": msgspec.json.encode(notified).decode()},
        )

    def _is_notified(self, target: str) -> bool:
        config = self.notifications.targets.get(target)
        return config is not None and config.enabled


def _notification(row: tuple[Any, ...]) -> Notification:
    number, key, kind, target, created_at, attempts, last_error, given_up_at, snapshot = row
    return Notification(
        number=number,
        key=key,
        kind=Kind(kind),
        target=target,
        created_at=datetime.fromisoformat(created_at),
        attempts=attempts,
        last_error=last_error,
        is_given_up=given_up_at is not None,
        incident=msgspec.json.decode(snapshot, type=Incident),
    )


def _pause(notification: Notification) -> timedelta:
    """Compute the wait after a failed attempt: doubled each time, and with jitter."""
    doublings = min(notification.attempts - 1, _MOST_DOUBLINGS)
    spread = hashlib.sha256(notification.key.encode()).digest()[0] / 255
    return min(_FIRST_RETRY * (1 << doublings), _LONGEST_RETRY) * (1 + _JITTER * spread)
