"""Reading a DuckDB file while its owner writes it: no lock, no copy, no waiting.

A reading pins one state of the file (:mod:`~dbmon_pipeline.core.source.live_view`), attaches it
through a file system of ours, asks, detaches, and then looks whether the state held. If it did not,
its answer is thrown away, and so is its error.

This belongs into a process of its own: a block that is overwritten while DuckDB decodes it can make
the engine crash before the guard has its say.
"""

from __future__ import annotations

import glob
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import duckdb

from dbmon_pipeline.core.common.duck import quoted
from dbmon_pipeline.core.common.errors import SourceChangingError
from dbmon_pipeline.core.source.block_pins import BlockPins
from dbmon_pipeline.core.source.live_file_system import DATABASE, LiveFileSystem
from dbmon_pipeline.core.source.live_view import (
    CHECKPOINT_LOG,
    LOG,
    LiveView,
    ReadingThrownAwayError,
)
from dbmon_pipeline.core.source.reader_protocol import EngineBrokenError
from dbmon_pipeline.core.source.reading_watch import watched

T = TypeVar("T")

_MOST_PINNED_BYTES = 512 << 20
_FIRST_PAUSE_SECONDS = 0.002
_LONGEST_PAUSE_SECONDS = 0.1
_PAUSE_GROWTH = 1.5
_PINS_FROM = 0.5
"""After which part of its time a reading begins to keep blocks."""
_STRICT_UNTIL = 0.75
"""Up to which part of its time a reading insists that the file is not written to at all."""
_WATCHED_FROM_SECONDS = 5.0
"""After how long a reading whose state is gone is interrupted."""
_PINNED_WATCHED_FROM_SECONDS = 60.0
"""The same with kept blocks: all that it reads serves the next attempt."""
_MOUNTS = Path("/proc/self/mountinfo")
_LOCAL_FILE_SYSTEMS = (
    *("bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs", "nilfs2", "ntfs3"),
    *("overlay", "ramfs", "reiserfs", "rootfs", "tmpfs", "vfat", "xfs", "zfs"),
)


@dataclass
class ReadingStats:
    """Figures of all readings of a file.

    Attributes:
        readings: How many were begun.
        thrown_away: How many of them did not count.
        bytes_read: How much was read from the file and its log.
    """

    readings: int = 0
    thrown_away: int = 0
    bytes_read: int = 0


class LiveFile:
    """A database file that its owner may be writing, and the DuckDB instance that reads it.

    Attributes:
        stats: Figures of the readings so far.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        path: Path,
        *,
        allowed_directories: Sequence[Path] = (),
    ) -> None:
        """Prepare an instance for readings, and lock it down; the file is not touched yet.

        Args:
            con: An in-memory instance that nothing was attached to yet. Its settings cannot be
                changed from now on.
            path: The file, or a link to it.
            allowed_directories: Where SQL may read and write other files.
        """
        self.stats = ReadingStats()
        self._con = con
        self._path = path
        self._file_system = LiveFileSystem()
        self._turn = threading.Lock()
        # In this order: with allowed_paths set before, DuckDB refuses every ATTACH.
        con.register_filesystem(self._file_system)
        paths = (DATABASE, DATABASE + LOG, DATABASE + CHECKPOINT_LOG)
        con.execute(f"SET allowed_paths = [{', '.join(map(quoted, paths))}]")
        lock_down(con, allowed_directories)

    def read(self, query: Callable[[duckdb.DuckDBPyConnection], T], *, seconds: float = 10.0) -> T:
        """Run a query against one state of the file, again and again until a state holds.

        In the second half of the time the blocks that the query reads are kept, so that the next
        attempt asks for those alone that have changed.

        Args:
            query: Given a cursor with the database attached as ``source``, it fetches all that it
                needs, or creates or replaces tables in ``memory.main``. It may run several times.
            seconds: For how long to begin attempts.

        Raises:
            SourceChangingError: No state held for as long as the query takes.
            SourceError: This process itself has the file open.
            EngineBrokenError: The instance cannot be used any more.
            OSError: The file cannot be opened.
            Exception: What the query raised on a state that held.
        """
        begun = time.monotonic()
        pins: BlockPins | None = None
        attempt_seconds = 0.0
        pause = _FIRST_PAUSE_SECONDS
        attempt = 0
        while True:
            attempt += 1
            elapsed = time.monotonic() - begun
            if pins is None and elapsed + attempt_seconds >= seconds * _PINS_FROM:
                pins = BlockPins(_MOST_PINNED_BYTES)
            try:
                return self._attempt(query, elapsed <= seconds * _STRICT_UNTIL, pins)
            except ReadingThrownAwayError as reason:
                total = time.monotonic() - begun
                if total + pause >= seconds:
                    raise SourceChangingError(
                        f"{self._path} is being written without a pause: {attempt} readings were"
                        f" thrown away in {total:.1f} seconds, the last because {reason}",
                        remedy="repeat when its owner writes less; the last published data stays",
                    ) from reason
                attempt_seconds = total - elapsed
            time.sleep(pause)
            pause = min(pause * _PAUSE_GROWTH, _LONGEST_PAUSE_SECONDS)

    def _attempt(
        self,
        query: Callable[[duckdb.DuckDBPyConnection], T],
        is_strict: bool,
        pins: BlockPins | None,
    ) -> T:
        """Make one reading.

        Raises:
            ReadingThrownAwayError: It does not count.
        """
        with self._turn:
            self.stats.readings += 1
            try:
                with LiveView(self._path, is_strict=is_strict, pins=pins) as view:
                    try:
                        return self._ask(query, view)
                    finally:
                        self.stats.bytes_read += view.bytes_read
            except ReadingThrownAwayError as reason:
                self.stats.thrown_away += 1
                self._check_engine(reason)
                raise

    def _ask(self, query: Callable[[duckdb.DuckDBPyConnection], T], view: LiveView) -> T:
        """Attach a view, run the query, detach, and let the view decide whether it counts."""
        self._file_system.view = view
        try:
            try:
                seconds = (
                    _WATCHED_FROM_SECONDS if view.pins is None else _PINNED_WATCHED_FROM_SECONDS
                )
                with (
                    self._con.cursor() as cursor,
                    watched(view, cursor.interrupt, seconds=seconds),
                ):
                    cursor.execute(f"ATTACH {quoted(DATABASE)} AS source (READ_ONLY, TYPE duckdb)")
                    answer = query(cursor)
            finally:
                # On a cursor of its own, since the query's may have a transaction open.
                with self._con.cursor() as cursor, suppress(duckdb.FatalException):
                    cursor.execute("DETACH DATABASE IF EXISTS source")
                self._file_system.view = None
        except Exception:
            view.settle(has_failed=True)
            raise
        view.settle(has_failed=False)
        return answer

    def _check_engine(self, reason: ReadingThrownAwayError) -> None:
        """Check that foreign data did not make DuckDB give up.

        Raises:
            EngineBrokenError: It did.
        """
        try:
            with self._con.cursor() as cursor:
                cursor.execute("SELECT 1").fetchall()
        except duckdb.Error as error:
            raise EngineBrokenError(f"DuckDB gave up ({error}) when {reason}") from error


def lock_down(con: duckdb.DuckDBPyConnection, folders: Sequence[Path]) -> None:
    """Bar an instance from everything but some folders, and what it is allowed already."""
    texts = [f"{folder}/" for folder in folders]
    names = ", ".join(map(quoted, dict.fromkeys([*texts, *map(glob.escape, texts)])))
    con.execute(
        f"SET allowed_directories = [{names}];"
        "SET autoinstall_known_extensions = false;"
        "SET autoload_known_extensions = false;"
        "SET enable_external_access = false;"
        "SET lock_configuration = true"
    )


def is_local(path: Path) -> bool:
    """Check that a file lies on a file system on which changes show at once.

    On a network file system, or one in user space, neither inode nor mtime nor content need be what
    another process has just written. An unknown one is taken as such.
    """
    file = os.path.realpath(path)
    kind, longest = "", 0
    try:
        mounts = _MOUNTS.read_bytes().decode(errors="surrogateescape")
    except OSError:
        return False
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        place = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), before.split(" ")[4])
        if f"{file}/".startswith(place.rstrip("/") + "/") and len(place) >= longest:
            kind, longest = after.split(" ")[0], len(place)
    return kind in _LOCAL_FILE_SYSTEMS
