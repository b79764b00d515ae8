"""Checks of the home: its folder, its lock, its warehouse, and the room on its disk."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from dbmon_pipeline.core.common.duck import connect, quoted, storage_errors
from dbmon_pipeline.core.common.errors import HomeBusyError
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.doctor.finding import Outcome, megabytes, ok, problem, warning
from dbmon_pipeline.core.home.locks import glance, holder
from dbmon_pipeline.core.source.health import look_at
from dbmon_pipeline.core.warehouse.layout import LAYOUT_VERSION
from dbmon_pipeline.core.warehouse.snapshot import ROOM_TO_SPARE
from dbmon_pipeline.core.warehouse.warehouse import State

_LONG_SECONDS = 6 * 3600
"""How long a refresh may have the home before that is strange."""
_LEAST_ROOM = 50e6
"""Bytes without which nothing can be done: the events of some runs, and the log of a commit."""
_LEAST_FILES = 1_000
_RUN_REFRESH = "run dbmon refresh"
_FACTS = """
SELECT
    (SELECT CAST(value AS BIGINT) FROM examined.state WHERE name = $name),
    (SELECT count(*) FROM examined.executions),
    (SELECT count(DISTINCT day) FROM examined.pending_days)
"""


def folder(settings: Settings) -> Outcome:
    """Whether it is there and may be written, looked up without writing."""
    home, user = settings.home.path, f"user {os.getuid()}"
    remedy = "name a folder that you may write with --home or DBMON_HOME"
    if not os.path.lexists(home):
        parent = _existing(home)
        if _is_writable(parent):
            return warning(f"{home} does not exist yet", f"{_RUN_REFRESH}, which makes it")
        return problem(f"{home} does not exist, and {parent} may not be written by {user}", remedy)
    if not home.is_dir():
        return problem(f"{home} is not a folder", remedy)
    if not _is_writable(home):
        return problem(f"{home} may not be written by {user}", remedy)
    for path in (*sorted(home.iterdir()), settings.home.published / "generations"):
        if path.exists() and not _is_writable(path):
            return problem(
                f"{path} may not be written by {user}",
                "let one user run the pipeline, and give it the whole home (chown -R)",
            )
    return ok(f"{home} may be written by {user}")


def lock(settings: Settings) -> Outcome | None:
    """Who works in it."""
    home = settings.home
    if not home.lock.exists():
        return None
    with glance(home.lock) as is_held:
        if not is_held:
            return ok("nobody works in the home")
    hours = (time.time() - home.lock.stat().st_mtime) / 3600
    seen = f"in use by {holder(home.lock)}"
    if hours * 3600 > _LONG_SECONDS:
        return warning(
            f"{seen}, for {hours:.0f} hours",
            "look at that run in dbmon dev; if it hangs, end its process: nothing is lost",
        )
    return ok(f"{seen}, as it is during a refresh")


def warehouse(settings: Settings) -> Outcome | None:
    """Whether it opens, in which layout, and what a refresh that was cut off has left.

    While a refresh has the home it is not opened; and while it is open, no refresh begins.
    """
    home, path = settings.home, settings.home.warehouse
    with connect() as con, glance(home.lock) as is_held:
        if is_held:
            return ok("not looked into, because somebody works in the home")
        if not path.exists():
            if not home.path.exists():
                return None
            return warning(f"{path} does not exist", f"{_RUN_REFRESH}, which makes it")
        try:
            with storage_errors(path), _attached(con, path):
                version, rows, days = con.execute(
                    _FACTS, {"name": State.LAYOUT_VERSION}
                ).fetchall()[0]
        except (duckdb.CatalogException, duckdb.BinderException):
            return problem(
                f"{path} is no warehouse of dbmon",
                f"move it away and {_RUN_REFRESH}, or name another home",
            )
    seen = f"{path} has {megabytes(path.stat().st_size)}, {rows:,} raw rows, layout {version}"
    if version is None or version > LAYOUT_VERSION:
        return problem(
            f"{seen}, of which this dbmon knows {LAYOUT_VERSION}",
            "upgrade dbmon-pipeline, or name another home",
        )
    if version < LAYOUT_VERSION:
        return warning(f"{seen}, an old one", f"{_RUN_REFRESH}, which migrates it")
    if days:
        return warning(
            f"{seen}; {days} days are left of a refresh that was cut off",
            f"{_RUN_REFRESH}, which continues it",
        )
    return ok(f"{seen}; nothing is left to do")


def disk(settings: Settings) -> Outcome:
    """Whether there is room for what a refresh, a copy and a generation take at the most."""
    home, source = settings.home, settings.source
    place = _existing(home.path)
    free = shutil.disk_usage(place).free
    needs = {
        "a refresh": _size(home.warehouse),
        "a generation": sum(map(_size, home.generation.glob("*/*"))),
    }
    is_refused = False
    if settings.config.source.snapshot and source.is_file():
        copied = _size(source) + _size(source.with_name(f"{source.name}.wal"))
        held = _size(home.snapshots / source.name)
        needed = needs["a copy of the source"] = max(int(copied * ROOM_TO_SPARE) - held, 0)
        is_refused = needed > free and look_at(source).writer is not None
    wanted = ", ".join(f"{what} {megabytes(size)}" for what, size in needs.items())
    seen = f"{megabytes(free)} are free at {place}; at the most, {wanted}"
    remedy = "free some space on that disk, or move the home to a larger one"
    inodes = os.statvfs(place)
    if inodes.f_files and inodes.f_favail < _LEAST_FILES:
        return problem(f"{place} has room for {inodes.f_favail} more files", remedy)
    if free < _LEAST_ROOM or is_refused:
        return problem(seen, remedy)
    return warning(seen, remedy) if free < sum(needs.values()) else ok(seen)


@contextmanager
def _attached(con: duckdb.DuckDBPyConnection, path: Path) -> Iterator[None]:
    """A warehouse, attached for reading only; its log is read, too, and stays as it is.

    Raises:
        HomeBusyError: Another program has it open for writing.
    """
    try:
        con.execute(f"ATTACH {quoted(path)} AS examined (READ_ONLY, TYPE duckdb)")
    except duckdb.IOException as error:
        if "Could not set lock" not in str(error):
            raise
        raise HomeBusyError(
            f"another program has {path} open ({str(error).splitlines()[0]})",
            remedy="close it there, because a refresh cannot open it",
        ) from None
    try:
        yield
    finally:
        con.execute("DETACH examined")


def _existing(path: Path) -> Path:
    """A path, or the nearest folder above it that exists."""
    return next(one for one in (path, *path.parents) if one.exists())


def _is_writable(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
