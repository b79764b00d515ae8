"""A guarded snapshot: a copy of a database that its owner keeps open, whole or not at all.

Between two checkpoints DuckDB leaves the blocks that are in use as they are, writes those of large
transactions into free room, and appends each commit to the write-ahead log. A checkpoint counts up
the iteration number in one of two header pages, and begins a new log. So the file, and after it as
much of the log as there was before, are a state that was committed, if no checkpoint came in
between: if both iteration numbers and the log's inode are what they were, and the log did not
shrink. A torn end of the log is a commit that was under way.

The copy is made by a process of its own, this file run as a script: if a process with the owner's
locks opened and closed the file, the system would let go of them.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

_HEADER_PAGES = (4096, 8192)
_ITERATION = struct.Struct("<8xQ")
"""A header page begins with its checksum and its iteration number."""
_ATTEMPTS = 8
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 1.0
ROOM_TO_SPARE = 1.1
"""How many times its size a copy wants to be free on the disk."""
_CHUNK = 1 << 26
_PATIENCE_SECONDS = 600.0


class Snapshot(NamedTuple):
    """A copy that was taken.

    Attributes:
        path: The copy; its write-ahead log lies beside it.
        size_bytes: How large both are.
        seconds: How long it took, 0 for one that was taken before.
        attempts: How often it was tried.
    """

    path: Path
    size_bytes: int
    seconds: float
    attempts: int


class SnapshotError(Exception):
    """No copy could be taken; the message says why."""


def take_snapshot(source: Path, target: Path) -> Snapshot:
    """Copy a database with its write-ahead log.

    Nothing in it is redacted, so a folder that is made for it is its user's alone.

    Args:
        source: The database, which this process must not have open.
        target: The copy, which is overwritten.

    Raises:
        SnapshotError: It changes too fast, the disk would run short, or it cannot be read.
    """
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [sys.executable, "-I", __file__, str(source), str(target), str(os.getpid())]
    try:
        done = subprocess.run(  # noqa: S603 - this very file
            command, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise SnapshotError(f"copying took more than {_PATIENCE_SECONDS:.0f} seconds") from None
    if done.returncode:
        raise SnapshotError(done.stderr.strip().splitlines()[-1] if done.stderr else "killed")
    return Snapshot(target, **json.loads(done.stdout))


def _main(source: Path, target: Path, parent: int) -> None:
    """Copy, and tell how it went on stdout, or why not on stderr."""
    started = time.monotonic()
    for attempt in range(1, _ATTEMPTS + 1):
        size = _copied(source, target, parent)
        if size is not None:
            seconds = round(time.monotonic() - started, 3)
            found = {"size_bytes": size, "seconds": seconds, "attempts": attempt}
            sys.stdout.write(json.dumps(found))
            return
        time.sleep(min(_FIRST_PAUSE_SECONDS * 2**attempt, _LONGEST_PAUSE_SECONDS))
    sys.exit(f"its owner wrote a checkpoint during each of {_ATTEMPTS} attempts to copy it")


class _Guard(NamedTuple):
    """What must not change while a copy is made."""

    iterations: tuple[int, ...]
    log_inode: int | None
    log_size: int


def _copied(source: Path, target: Path, parent: int) -> int | None:
    """The size of a copy that is whole; None if a checkpoint came in between."""
    log, log_copy = (path.with_name(f"{path.name}.wal") for path in (source, target))
    before = _guard(source, log)
    if before is None:
        return None
    needed = int((source.stat().st_size + before.log_size) * ROOM_TO_SPARE)
    held = target.stat().st_size if target.exists() else 0
    free = shutil.disk_usage(target.parent).free + held
    if free < needed:
        sys.exit(f"a copy of {needed / 1e6:,.0f} MB would not leave room on the disk of {target}")
    log_copy.unlink(missing_ok=True)
    _copy(source, target, source.stat().st_size, parent)
    if before.log_inode is not None:
        try:
            _copy(log, log_copy, before.log_size, parent)
        except FileNotFoundError:
            return None
    after = _guard(source, log)
    is_whole = (
        after is not None
        and after.iterations == before.iterations
        and after.log_inode == before.log_inode
        and after.log_size >= before.log_size
    )
    return target.stat().st_size + before.log_size if is_whole else None


def _guard(source: Path, log: Path) -> _Guard | None:
    """What must not change; None while a checkpoint is under way."""
    if log.with_name(f"{log.name}.checkpoint").exists():
        return None
    with source.open("rb") as file:
        iterations = []
        for page in _HEADER_PAGES:
            file.seek(page)
            iterations.append(_ITERATION.unpack(file.read(_ITERATION.size))[0])
    try:
        stat = log.stat()
    except FileNotFoundError:
        return _Guard(tuple(iterations), None, 0)
    return _Guard(tuple(iterations), stat.st_ino, stat.st_size)


def _copy(source: Path, target: Path, size: int, parent: int) -> None:
    """Copy the beginning of a file, sharing its blocks where the file system can.

    If whoever asked for the copy was killed, it ends: the next one may be written there.
    """
    with source.open("rb") as given, target.open("wb") as copy:
        try:
            while size and (
                moved := os.copy_file_range(given.fileno(), copy.fileno(), min(size, _CHUNK))
            ):
                size -= moved
                _end_without(parent)
        except (AttributeError, OSError):
            given.seek(os.lseek(given.fileno(), 0, os.SEEK_CUR))
            while size and (chunk := given.read(min(size, _CHUNK))):
                copy.write(chunk)
                size -= len(chunk)
                _end_without(parent)


def _end_without(parent: int) -> None:
    if os.getppid() != parent:
        sys.exit("nobody waits for it any more")


if __name__ == "__main__":
    try:
        _main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    except (OSError, struct.error) as error:
        sys.exit(f"copying it failed ({error})")
