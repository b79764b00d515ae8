"""File of incidents: one SQLite file that several processes open, and write one at a time.

A new one is made whole or not at all, and one that is damaged, newer, or of another program is
refused as it is.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import msgspec

from dbmon_pipeline.core.common.errors import IncidentError

LAYOUT_VERSION = 1
"""The version of the tables; a file of a newer one is refused."""

BUSY_SECONDS = 30.0
"""The time that a process waits for the others to finish writing."""

WAITS = "sent_at IS NULL AND given_up_at IS NULL"
"""Which notifications wait; there is an index of just these."""

_POLL_SECONDS = 0.02
_SMALLEST_FILE = 512

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_OF_THE_DISK = {
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY),
    *(sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM),
}
_TABLES = (
    # `ready_at`: claimed until then, or to be tried again then.
    "CREATE TABLE notifications (number INTEGER PRIMARY KEY AUTOINCREMENT,"
    " key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, target TEXT NOT NULL,"
    " incident INTEGER NOT NULL, snapshot TEXT NOT NULL, created_at TEXT NOT NULL,"
    " ready_at TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, last_error TEXT,"
    " sent_at TEXT, given_up_at TEXT)",
    f"CREATE INDEX waiting ON notifications (target, incident, number) WHERE {WAITS}",
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    # `kept`: all of it as JSON; the other columns are what rows are found by.
    "CREATE TABLE incidents (number INTEGER PRIMARY KEY AUTOINCREMENT,"
    " fingerprint TEXT NOT NULL, state TEXT NOT NULL, opened_at TEXT NOT NULL,"
    " resolved_at TEXT, kept TEXT NOT NULL)",
    "CREATE UNIQUE INDEX one_open ON incidents (fingerprint) WHERE state <> 'resolved'",
    # The last round that judged a fingerprint, whether it has an incident or not.
    "CREATE TABLE rounds (fingerprint TEXT PRIMARY KEY, at TEXT NOT NULL)",
    "CREATE TABLE silences (number INTEGER PRIMARY KEY AUTOINCREMENT, matcher TEXT NOT NULL,"
    " until TEXT NOT NULL, by TEXT NOT NULL, created_at TEXT NOT NULL)",
)


class IncidentFile:
    """Open file of incidents, for its parts that store something there.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, making it if it does not exist.

        Raises:
            IncidentError: It was made by a newer version, is damaged, or cannot be written.
        """
        self.path = path
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
        """Close the file; everything written stays."""
        self._con.close()

    def __enter__(self) -> Self:
        """Use it as a context: closed at the end, whatever happens."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def remember(self, name: str, value: str) -> None:
        """Keep a small fact for another part of the program, for instance how far a sensor is.

        Raises:
            IncidentError: The file cannot be written.
        """
        with self._transaction() as con:
            con.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def remembered(self, name: str) -> str | None:
        """Read a stored fact; None if there is none.

        Raises:
            IncidentError: The file cannot be read.
        """
        rows = self._rows("SELECT value FROM facts WHERE name = ?", name)
        return rows[0][0] if rows else None

    def _rows(self, select: str, *values: object) -> list[Any]:
        with self._errors():
            return self._con.execute(select, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Apply all of the block's writes, or none of them; no other process writes meanwhile."""
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
        """Translate a failure of the file into an incident error."""
        try:
            yield
        except (sqlite3.ProgrammingError, sqlite3.InterfaceError):
            raise  # a mistake of ours
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
                    for statement in _TABLES:
                        con.execute(statement)
                    con.execute(f"PRAGMA user_version = {LAYOUT_VERSION}")

    def _use_wal(self) -> None:
        """Switch to WAL mode, so that readers and the writer do not wait for each other.

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
    """Format an instant for the file; these texts sort as the instants do."""
    return at.isoformat(timespec="microseconds")


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


def one_of(numbers: Sequence[int]) -> str:
    """Return the remedy for a number that is none of these."""
    return f"name one of {', '.join(map(str, numbers))}" if numbers else "there is none at present"
