"""Checks of the home: its folder, its lock, what is left in it, and the room on its disk."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.doctor.finding import Outcome, megabytes, ok, problem, warning
from dbmon_pipeline.core.home.locks import glance, holder

_LONG_SECONDS = 6 * 3600
"""The longest time that a refresh normally holds the home."""
_LEAST_ROOM = 50e6
"""Bytes without which nothing can be done: the events of some runs, and a small generation."""
_LEAST_FILES = 1_000
_RUN_REFRESH = "run dbmon refresh"
_OF_EARLIER_VERSIONS = ("warehouse.duckdb", "warehouse.duckdb.wal", "snapshots")


def folder(settings: Settings) -> Outcome:
    """Tell whether the home is there and may be written, without writing."""
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
    for path in (*sorted(home.iterdir()), settings.home.generations):
        if path.exists() and not _is_writable(path):
            return problem(
                f"{path} may not be written by {user}",
                "let one user run the pipeline, and give it the whole home (chown -R)",
            )
    return ok(f"{home} may be written by {user}")


def lock(settings: Settings) -> Outcome | None:
    """Tell who works in the home."""
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


def leftovers(settings: Settings) -> Outcome | None:
    """Look for files of version 0.1 in a home, which nothing reads any more."""
    home = settings.home.path
    left = [path for name in _OF_EARLIER_VERSIONS if os.path.lexists(path := home / name)]
    if not left:
        return None
    size = sum(map(_size, [file for path in left for file in (path, *path.rglob("*"))]))
    return warning(
        f"{' and '.join(map(str, left))} of version 0.1 still there, with {megabytes(size)}",
        "remove it: nothing reads it any more",
    )


def disk(settings: Settings) -> Outcome:
    """Tell whether there is room for one more generation, all of whose files are new."""
    home = settings.home
    place = _existing(home.path)
    free = shutil.disk_usage(place).free
    needed = sum(map(_size, home.generation.glob("*/*")))
    seen = f"{megabytes(free)} are free at {place}; a generation takes at most {megabytes(needed)}"
    remedy = "free some space on that disk, or move the home to a larger one"
    inodes = os.statvfs(place)
    if inodes.f_files and inodes.f_favail < _LEAST_FILES:
        return problem(f"{place} has room for {inodes.f_favail} more files", remedy)
    if free < _LEAST_ROOM:
        return problem(seen, remedy)
    return warning(seen, remedy) if free < needed else ok(seen)


def _existing(path: Path) -> Path:
    """Find the nearest folder above a path that exists, or the path itself."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _is_writable(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
