"""The outbox: what is still to be told, in the one file that several processes write.

A notification is put there in the transaction of the transition that it tells of. A sender claims
it for a while, and it stays until it was sent or given up; so it is sent at least once, and for
each target the notifications of an incident keep their order.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Self

import msgspec

from dbmon_pipeline.core.errors import IncidentError
from dbmon_pipeline.core.incident import Incident, Kind, Notification
from dbmon_pipeline.core.instants import HOUR
from dbmon_pipeline.core.notification_config import Notifications

LAYOUT_VERSION = 1
"""The version of the tables here and in ``incidents``; a file of a newer one is refused."""

BUSY_SECONDS = 30.0
"""How long a process waits for the others to finish writing."""

_FIRST_RETRY = timedelta(seconds=30)
_LONGEST_RETRY = HOUR
_MOST_DOUBLINGS = 7  # more of them are an hour in any case
_JITTER = 0.2
_LONGEST_ERROR = 500
_POLL_SECONDS = 0.02
_SMALLEST_FILE = 512

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_OF_THE_DISK = {
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY),
    *(sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM),
}
_WAITS = "sent_at IS NULL AND given_up_at IS NULL"


@dataclass(frozen=True, kw_only=True)
class Undelivered:
    """A notification that was not sent so far.

    Attributes:
        number: Its place in the outbox.
        target: Whom it is for.
        kind: What it tells.
        incident: The number of its incident.
        attempts: How often sending it was tried.
        last_error: Why the last attempt failed; None if there was none.
        is_dead: Whether it was given up; else it waits.
    """

    number: int
    target: str
    kind: Kind
    incident: int
    attempts: int
    last_error: str | None
    is_dead: bool


class Outbox:
    """The file of incidents as a sender needs it; :class:`Incidents` is the whole of it.

    Attributes:
        path: The file.
        notifications: Who is told, and how often that is tried.
    """

    _tables: ClassVar[tuple[str, ...]] = (
        # `ready_at`: claimed until then, or to be tried again then.
        "CREATE TABLE notifications (number INTEGER PRIMARY KEY AUTOINCREMENT,"
        " key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, target TEXT NOT NULL,"
        " incident INTEGER NOT NULL, snapshot TEXT NOT NULL, created_at TEXT NOT NULL,"
        " ready_at TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, last_error TEXT,"
        " sent_at TEXT, given_up_at TEXT)",
        f"CREATE INDEX waiting ON notifications (target, incident, number) WHERE {_WAITS}",
        "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    )

    def __init__(self, path: Path, *, notifications: Notifications) -> None:
        """Open the file, making it if it does not exist.

        Raises:
            IncidentError: It was made by a newer version, is damaged, or cannot be written.
        """
        self.path = path
        self.notifications = notifications
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file() and 0 < path.stat().st_size < _SMALLEST_FILE:
                raise sqlite3.DatabaseError("cut short")  # SQLite takes one byte for an empty file
            self._con = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            try:
                self._prepare()
            except BaseException:
                self._con.close()
                raise

    def close(self) -> None:
        """Close the file; what was written stays."""
        self._con.close()

    def __enter__(self) -> Self:
        """Use it as a context: closed at the end, whatever happens."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def due(self, at: datetime, *, lease: timedelta) -> dict[str, list[Notification]]:
        """Claim every notification that is to be sent now, by target, in order.

        No other sender gets one of them before the lease has ended; by then say what became of it
        with :meth:`sent` or :meth:`failed`. Send none after one of the same incident that failed.

        Raises:
            IncidentError: The file cannot be written.
        """
        with self._transaction() as con:
            rows = con.execute(
                "SELECT number, key, kind, target, created_at, attempts, snapshot"
                f" FROM notifications AS n WHERE {_WAITS} AND ready_at <= :at AND NOT EXISTS ("
                f"SELECT 1 FROM notifications AS earlier WHERE {_WAITS} AND ready_at > :at"
                " AND target = n.target AND incident = n.incident AND number < n.number)"
                " ORDER BY number",
                {"at": text(at)},
            ).fetchall()
            claimed: dict[str, list[Notification]] = {}
            for found in map(_notification, rows):
                if self._is_told(found.target):
                    claimed.setdefault(found.target, []).append(found)
            until = text(at + lease)
            con.executemany(
                "UPDATE notifications SET ready_at = ? WHERE number = ?",
                [(until, one.number) for several in claimed.values() for one in several],
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
                    f" WHERE number = ? AND {_WAITS}"
                    " RETURNING number, key, kind, target, created_at, attempts, snapshot",
                    (why, number),
                ).fetchone()
                if row is None:  # another sender has sent it meanwhile
                    continue
                found = _notification(row)
                if found.attempts >= self.notifications.attempts:
                    given_up.append(found)
                    column, then = "given_up_at", at
                else:
                    column, then = "ready_at", at + _pause(found)
                con.execute(
                    f"UPDATE notifications SET {column} = ? WHERE number = ?", (text(then), number)
                )
        return given_up

    def undelivered(self) -> list[Undelivered]:
        """The notifications that wait and those that were given up, in order.

        Raises:
            IncidentError: The file cannot be read.
        """
        return [
            Undelivered(
                number=number,
                target=target,
                kind=Kind(kind),
                incident=incident,
                attempts=attempts,
                last_error=last_error,
                is_dead=given_up_at is not None,
            )
            for number, target, kind, incident, attempts, last_error, given_up_at in self._rows(
                "SELECT number, target, kind, incident, attempts, last_error, given_up_at"
                " FROM notifications WHERE sent_at IS NULL ORDER BY number"
            )
        ]

    def remember(self, name: str, value: str) -> None:
        """Keep a small fact for another part of the program, for instance how far a sensor is.

        Raises:
            IncidentError: The file cannot be written.
        """
        with self._transaction() as con:
            con.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def remembered(self, name: str) -> str | None:
        """A fact that was kept, or None.

        Raises:
            IncidentError: The file cannot be read.
        """
        rows = self._rows("SELECT value FROM facts WHERE name = ?", name)
        return rows[0][0] if rows else None

    def _put(self, kind: Kind, targets: Iterable[str], incident: Incident, at: datetime) -> None:
        """Have something told; inside the transaction of what it tells of."""
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
        told = [*filter(self._is_told, self.notifications.targets)]
        self._con.execute(
            "DELETE FROM notifications WHERE sent_at < :before OR given_up_at < :before"
            " OR (created_at < :before AND target NOT IN (SELECT value FROM json_each(:told)))",
            {"before": text(before), "told": msgspec.json.encode(told).decode()},
        )

    def _is_told(self, target: str) -> bool:
        config = self.notifications.targets.get(target)
        return config is not None and config.enabled

    def _rows(self, select: str, *values: object) -> list[Any]:
        with self._errors():
            return self._con.execute(select, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block's writes, or none of them; nobody else writes meanwhile."""
        with self._errors():
            try:
                self._con.execute("BEGIN IMMEDIATE")
                yield self._con
                self._con.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._con.execute("ROLLBACK")
                raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Tell a failure of the file in our own words."""
        try:
            yield
        except (sqlite3.ProgrammingError, sqlite3.InterfaceError):
            raise  # a mistake of this module
        except (sqlite3.Error, msgspec.MsgspecError, OSError) as error:
            raise _explained(self.path, error) from error

    def _prepare(self) -> None:
        # One statement, so that it sees one state of a file that another process makes just now.
        state = (
            "SELECT user_version, (SELECT count(*) FROM sqlite_master) FROM pragma_user_version()"
        )
        version, tables = self._con.execute(state).fetchone()
        if version > LAYOUT_VERSION:
            raise IncidentError(
                f"{self.path} was made by a newer version of dbmon (layout {version},"
                f" this one knows {LAYOUT_VERSION})",
                remedy="upgrade dbmon-pipeline, or name another home",
            )
        if version == 0 and tables:
            raise IncidentError(
                f"{self.path} is a SQLite database of another program",
                remedy="move it away, or name another home",
            )
        self._use_wal()
        self._con.execute("PRAGMA synchronous = FULL")
        if version == 0:
            with self._transaction() as con:
                if con.execute(state).fetchone() == (0, 0):
                    for statement in self._tables:
                        con.execute(statement)
                    con.execute(f"PRAGMA user_version = {LAYOUT_VERSION}")

    def _use_wal(self) -> None:
        """Have readers and the writer not wait for each other.

        SQLite itself does not wait when two processes make this change at once.
        """
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._con.execute("PRAGMA journal_mode = WAL").fetchall()
                return
            except sqlite3.OperationalError as error:
                if _code(error) not in _BUSY or time.monotonic() >= deadline:
                    raise
            time.sleep(_POLL_SECONDS)


def text(at: datetime) -> str:
    """An instant as the file has it; these sort as the instants do."""
    return at.isoformat(timespec="microseconds")


def _notification(row: tuple[Any, ...]) -> Notification:
    number, key, kind, target, created_at, attempts, snapshot = row
    return Notification(
        number=number,
        key=key,
        kind=Kind(kind),
        target=target,
        created_at=datetime.fromisoformat(created_at),
        attempts=attempts,
        incident=msgspec.json.decode(snapshot, type=Incident),
    )


def _pause(notification: Notification) -> timedelta:
    """How long to wait after a failed attempt: twice as long each time, and not all at once."""
    doublings = min(notification.attempts - 1, _MOST_DOUBLINGS)
    spread = hashlib.sha256(notification.key.encode()).digest()[0] / 255
    return min(_FIRST_RETRY * (1 << doublings), _LONGEST_RETRY) * (1 + _JITTER * spread)


def _code(error: Exception) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _explained(path: Path, error: Exception) -> IncidentError:
    code = _code(error)
    if code in _BUSY:
        return IncidentError(
            f"{path} is locked by another process ({error})",
            remedy="end the process that holds it and repeat; nothing that was stored is lost",
        )
    if code in _OF_THE_DISK or isinstance(error, OSError):
        return IncidentError(
            f"{path} cannot be written or read ({error})",
            remedy="check the disk, its free space and the permissions, then repeat;"
            " nothing that was stored is lost",
        )
    return IncidentError(
        f"{path} is damaged, or no file of incidents ({error})",
        remedy="move it away, with those of its name that end in -wal and -shm,"
        " and repeat to begin a new one",
    )
