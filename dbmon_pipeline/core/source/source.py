"""The source: a learning database that somebody else writes, looked at in moments.

While any process has a DuckDB file open for reading, its owner cannot open it for writing. So the
file is attached READ_ONLY, what is needed is copied into memory, and it is detached again; the time
of every hold is recorded, and work is cut into slices by it. While its owner keeps it open, a
guarded snapshot is read in its stead.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import duckdb

from dbmon_pipeline.core.common.duck import explain_source, quoted, unreadable_value
from dbmon_pipeline.core.common.errors import SourceError, SourceLockedError
from dbmon_pipeline.core.config.address import remote_name
from dbmon_pipeline.core.config.monitoring import SourceLimits
from dbmon_pipeline.core.source.contract import SourceSchema, inspect, table_names
from dbmon_pipeline.core.source.file_check import check_file, unreachable
from dbmon_pipeline.core.source.parquet_folder import attach_folder, explain_folder, folder_bytes
from dbmon_pipeline.core.source.profile import Overview, look_over, oldest_row
from dbmon_pipeline.core.source.remote import (
    attach_remote,
    detach_remote,
    explain_remote,
)
from dbmon_pipeline.core.warehouse.snapshot import Snapshot
from dbmon_pipeline.core.warehouse.snapshots import current_snapshot, distrust
from dbmon_pipeline.core.warehouse.turns import Turns

_USUAL_HOLD_MS = 8.0
_AIM = 0.6
"""Which part of the longest hold a slice is sized for, since the next one may be slower."""
_QUICKLY_COPIED_BYTES = 32_000_000
"""So much is copied between two writes, even of an owner that leaves no time for a look."""


class Source:
    """A learning database, and how to look into it.

    Attributes:
        path: The file, a folder of Parquet files, or the name of what is no file.
        holds_ms: How long each attach lasted, in milliseconds.
        snapshot: The copy that is read in its stead, if its owner keeps it open.
    """

    def __init__(
        self,
        path: Path,
        limits: SourceLimits,
        con: duckdb.DuckDBPyConnection,
        snapshots: Path | None = None,
    ) -> None:
        """Take a cursor of the instance into whose memory rows will be copied.

        The source is not touched yet.

        Args:
            path: The file, a folder of Parquet files, or the name of what is no file.
            limits: How it may be touched.
            con: The instance.
            snapshots: A folder of our own for a copy; without one, none is taken.
        """
        self.path = path
        self.holds_ms: list[float] = []
        self.snapshot: Snapshot | None = None
        self._is_attached = False
        is_named = limits.attach is not None and path == remote_name(limits.attach)
        self._address = limits.attach if is_named else None
        self._snapshots = snapshots if limits.snapshot and not self._address else None
        self._limits = limits
        self._cursor = con.cursor()
        self._schema: SourceSchema | None = None
        is_ours_to_time = snapshots and not is_named and not path.is_dir()
        self._turns = Turns(path) if is_ours_to_time else None

    @property
    def identity(self) -> dict[str, object]:
        """What tells this file from another one at the same path; known once it was attached.

        Raises:
            SourceError: The file is not there.
        """
        inode = size = 0
        if not self._address:
            try:
                stat = self.path.stat()
            except OSError as error:
                raise unreachable(self.path, error) from None
            inode = stat.st_ino
            size = folder_bytes(self.path) if self.path.is_dir() else stat.st_size
        return {
            "path": str(self.path),
            "inode": inode,
            "size_bytes": size,
            "schema": self.schema.digest,
            "read_from": "snapshot" if self.snapshot else "source",
        }

    @contextmanager
    def attached(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Hold the source for the block, as the schema ``source``.

        A copy stays attached from then on: nobody waits for it, and what its write-ahead log says
        of indexes is read but once.

        Yields:
            A cursor; tables of ``memory.main`` are shared with the other cursors.

        Raises:
            SourceLockedError: Its owner holds it for longer than the configured wait.
            SourceError: It is not there, not readable, damaged, or not a learning database.
        """
        if self._schema is None:
            table_names(self._cursor)  # the first time takes long, so not under the lock
        if self._turns and not self.snapshot:
            self._take_turn(self._turns)
        started = self._attach()
        try:
            if self._schema is None:
                self._schema = inspect(self._cursor, self.path, is_ours=self._is_view)
            yield self._cursor
        except duckdb.ConversionException as error:
            raise unreadable_value(self.path, error) from error
        except (duckdb.Error, UnicodeDecodeError) as error:
            self._distrust_snapshot()
            raise self._explain(error) from error
        finally:
            if not self.snapshot:
                self._detach()
            if not self._keeps_nobody_waiting:
                self.holds_ms.append((time.perf_counter() - started) * 1000)

    def pause(self) -> None:
        """Leave the owner a moment between two holds."""
        time.sleep(random.uniform(0.002, 0.006))  # noqa: S311 - jitter, not cryptography

    def fit(self) -> float:
        """By what factor the next slice should be larger, for its hold to stay within the limit.

        A source may be so large that the shortest hold is longer than that: DuckDB goes through its
        row groups each time. Then a hold takes twice as long, or there would be far too many.
        """
        if self._keeps_nobody_waiting:
            return 2.0
        goal = self._limits.longest_hold_ms * _AIM
        shortest = min(self.holds_ms)
        if shortest > goal:
            goal = 2 * shortest
        return min(2.0, max(0.25, goal / max(self.holds_ms[-1], 0.1)))

    def overview(self, history_start: datetime, as_of: datetime) -> Overview:
        """A glance at the rows that lie outside of what is monitored, and at the oldest within.

        Raises:
            SourceError: As for :meth:`attached`.
        """
        with self.attached() as con:
            return look_over(con, self.schema, history_start, as_of)

    def oldest(self, history_start: datetime, as_of: datetime) -> datetime | None:
        """The timestamp of its oldest monitored row, None if there is none.

        Raises:
            SourceError: As for :meth:`attached`.
        """
        with self.attached() as con:
            return oldest_row(con, self.schema, history_start, as_of)

    @property
    def schema(self) -> SourceSchema:
        """The columns of the source; known once it was attached.

        Raises:
            RuntimeError: It was never attached.
        """
        if self._schema is None:
            raise RuntimeError("the source was not attached yet")
        return self._schema

    def _take_turn(self, turns: Turns) -> None:
        """Wait until a look disturbs nobody. If there is no such time, have a copy taken."""
        look_seconds = max(self.holds_ms[-2:], default=_USUAL_HOLD_MS) / 1000
        if turns.await_turn(look_seconds) or not self._snapshots:
            return
        busy = SourceLockedError(f"{self.path} is in use all the time", remedy="")
        try:
            if self.path.stat().st_size <= _QUICKLY_COPIED_BYTES:
                self.snapshot = current_snapshot(self.path, self._snapshots, busy)
        except (SourceLockedError, OSError):
            turns.await_turn(look_seconds)

    def _attach(self) -> float:
        """Attach within the configured wait, or else a copy, and tell when."""
        if self.snapshot and self._is_attached:
            return time.perf_counter()
        self._detach()  # What another look of this process left attached.
        if not self.snapshot:
            check_file(self.path)
        deadline = time.monotonic() + self._limits.lock_wait_seconds
        while True:
            path = self.snapshot.path if self.snapshot else self.path
            started = time.perf_counter()
            try:
                if self._address:
                    attach_remote(self._cursor, self._address, self._limits.extension)
                elif path.is_dir():
                    attach_folder(self._cursor, path)
                else:
                    if path.with_name(f"{path.name}.wal").exists():
                        # To read what it says, DuckDB keeps every index of the source in memory.
                        self._cursor.execute("RESET memory_limit")
                    self._cursor.execute(
                        f"ATTACH {quoted(path)} AS source (READ_ONLY, TYPE duckdb)"
                    )
            except (duckdb.Error, UnicodeDecodeError) as error:
                explained = self._explain(error)
                if not isinstance(explained, SourceLockedError):
                    self._distrust_snapshot()
                    raise explained from error
                if time.monotonic() < deadline:
                    time.sleep(random.uniform(0.005, 0.05))  # noqa: S311 - jitter, not cryptography
                elif self._snapshots:
                    self.snapshot = current_snapshot(self.path, self._snapshots, explained)
                else:
                    raise explained from error
            else:
                self._is_attached = True
                if self._snapshots and not self.snapshot:
                    shutil.rmtree(self._snapshots, ignore_errors=True)
                return started

    def _detach(self) -> None:
        with suppress(duckdb.Error):
            detach_remote(self._cursor)
        self._is_attached = False

    @property
    def _is_view(self) -> bool:
        """Whether the attached table is a view of ours on what it is."""
        return self._address is not None or self.path.is_dir()

    @property
    def _keeps_nobody_waiting(self) -> bool:
        return self.snapshot is not None or self.path.is_dir()

    def _explain(self, error: duckdb.Error | UnicodeDecodeError) -> SourceError:
        if self._address and "Could not set lock" not in str(error):
            return explain_remote(self._address, error)
        if self.path.is_dir():
            return explain_folder(self.path, error)
        return explain_source(self.path, error)

    def _distrust_snapshot(self) -> None:
        """Have the next refresh take another copy."""
        if self.snapshot:
            self._detach()
            distrust(self.snapshot)
