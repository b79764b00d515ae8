"""Checks of the incident store, opened so that nothing in it or beside it changes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.doctor.finding import Level, Outcome, ok, problem, warning
from dbmon_pipeline.core.incidents.sqlite_file import LAYOUT_VERSION, WAITS

_WAIT_SECONDS = 1.0
_LOOKS = 3
_PAUSE_SECONDS = 0.1
"""The pause before the next look: work half done in an immutable file is whole by then."""
_ASIDE = (
    "move it away, with those of its name that end in -wal and -shm; the next evaluation begins a"
    " new one"
)


def store(settings: Settings) -> Outcome | None:
    """Check whether the store opens, and is whole by SQLite's own check."""
    path = settings.home.incidents
    if not settings.home.path.exists():
        return None
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        return ok("there is no incident store yet; the first alert or dbmon alerts makes it")
    for _ in range(_LOOKS):
        outcome = _store(path)
        if outcome.level is not Level.PROBLEM:
            break
        time.sleep(_PAUSE_SECONDS)
    return outcome


def _store(path: Path) -> Outcome:
    try:
        with _open_store(path) as con:
            (verdict,) = con.execute("PRAGMA integrity_check(1)").fetchone()
            (version,) = con.execute("PRAGMA user_version").fetchone()
            (open_incidents,) = con.execute(
                "SELECT count(*) FROM incidents WHERE state <> 'resolved'"
            ).fetchone()
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return warning(
                f"{path} is locked by another process ({error})",
                "repeat; if it stays, end the process that holds it: nothing stored is lost",
            )
        if "no such" in str(error):
            return problem(f"{path} is no file of incidents ({error})", _ASIDE)
        return problem(f"{path} cannot be read ({error})", "check the disk and the permissions")
    except sqlite3.DatabaseError as error:
        return problem(f"{path} is damaged, or no file of incidents ({error})", _ASIDE)
    if verdict != "ok":
        return problem(f"{path} is damaged ({verdict})", _ASIDE)
    if version > LAYOUT_VERSION:
        return problem(
            f"{path} was made by a newer version of dbmon (layout {version},"
            f" this one knows {LAYOUT_VERSION})",
            "upgrade dbmon-pipeline, or name another home",
        )
    return ok(f"{path} is whole; open incidents: {open_incidents}")


def outbox(settings: Settings) -> Outcome | None:
    """Check whether every notification was sent."""
    path = settings.home.incidents
    if not path.is_file():
        return None
    try:
        with _open_store(path) as con:
            dead = con.execute(
                "SELECT target, count(*), max(last_error) FROM notifications"
                " WHERE given_up_at IS NOT NULL GROUP BY target ORDER BY target"
            ).fetchall()
            (waiting,) = con.execute(f"SELECT count(*) FROM notifications WHERE {WAITS}").fetchone()
    except sqlite3.DatabaseError:  # reported by store
        return None
    if dead:
        given_up = ", ".join(f"{count} to {target} ({error})" for target, count, error in dead)
        return warning(
            f"notifications were given up: {given_up}",
            f"mend the target, then try it with dbmon alerts test {dead[0][0]}",
        )
    return ok(f"none was given up; waiting: {waiting}")


@contextmanager
def _open_store(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the store for reading.

    SQLite leaves two files beside one that it opens read-only, unless that is called immutable; so
    it is where nobody writes, which is where there is no log.
    """
    mode = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
    uri = f"{path.as_uri()}?{mode}"
    with closing(sqlite3.connect(uri, uri=True, timeout=_WAIT_SECONDS)) as con:
        yield con
