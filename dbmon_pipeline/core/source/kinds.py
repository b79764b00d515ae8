"""The kinds of source: a DuckDB file read live, one that is attached, Parquet files, an address.

A source gives readings: the block sees it attached as the schema ``source``, as of one moment. How
that moment is held differs; nobody else asks of which kind a source is.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import TypeVar

import duckdb

from dbmon_pipeline.core.common.duck import explain_source, quoted
from dbmon_pipeline.core.common.errors import SourceChangingError, SourceError, SourceLockedError
from dbmon_pipeline.core.config.address import remote_name
from dbmon_pipeline.core.config.monitoring import SourceLimits
from dbmon_pipeline.core.source.file_check import check_file, unreachable
from dbmon_pipeline.core.source.live_file import LiveFile, ReadingStats, is_local
from dbmon_pipeline.core.source.parquet_folder import (
    attach_folder,
    explain_folder,
    folder_bytes,
    folder_signature,
)
from dbmon_pipeline.core.source.remote import attach_remote, detach_remote, explain_remote

T = TypeVar("T")
Query = Callable[[duckdb.DuckDBPyConnection], T]
"""Runs on a cursor that has the source attached; it may run several times."""

_PAUSE_SECONDS = 0.02
_FOLDER_ATTEMPTS = 5


class Source(ABC):
    """A source that an instance reads from, and how often it did.

    Attributes:
        path: The file or folder; the name of an address.
        stats: How many readings there were, and how many of them were thrown away.
        read_as: How a reading is made: ``live``, ``attached``, ``files`` or ``address``.
        is_ours: Whether ``source.main.executions`` is a view that the reader made itself.
    """

    read_as: str
    is_ours = False

    def __init__(self, con: duckdb.DuckDBPyConnection, path: Path) -> None:
        """Take the instance that readings are made in; the source is not touched."""
        self.path = path
        self.stats = ReadingStats()
        self._con = con

    def read(self, query: Query[T], *, seconds: float = 10.0) -> T:
        """Run a query on the source as of one moment.

        Args:
            query: Fetches what it needs, or copies it into ``memory``.
            seconds: How long to try while the source changes too fast.

        Raises:
            SourceLockedError: It had to be attached, and its owner holds it.
            SourceError: It cannot be read, or did not hold still for a reading.
        """
        try:
            return self._read(query, seconds)
        except (duckdb.Error, UnicodeDecodeError, OSError) as error:
            raise self.explain(error) from error

    @abstractmethod
    def _read(self, query: Query[T], seconds: float) -> T: ...

    @abstractmethod
    def explain(self, error: Exception) -> SourceError:
        """Tell an error of DuckDB or of the system as one of the source."""

    def size_and_inode(self) -> tuple[int, int]:
        """Tell the size of the source in bytes and its inode, 0 where it has none.

        Raises:
            SourceError: It is not there.
        """
        try:
            stat = self.path.stat()
        except OSError as error:
            raise unreachable(self.path, error) from None
        return stat.st_size, stat.st_ino


class LiveDatabase(Source):
    """A DuckDB file on a local file system: read while its owner writes, without a lock."""

    read_as = "live"

    def __init__(self, con: duckdb.DuckDBPyConnection, path: Path, allowed: Sequence[Path]) -> None:
        """Lock the instance down to this file and some folders."""
        super().__init__(con, path)
        self._file = LiveFile(con, path, allowed_directories=allowed)
        self.stats = self._file.stats

    def _read(self, query: Query[T], seconds: float) -> T:
        check_file(self.path)
        return self._file.read(query, seconds=seconds)

    def explain(self, error: Exception) -> SourceError:
        """Tell an error as one of the source."""
        return _explain_file(self.path, error)


class AttachedDatabase(Source):
    """A DuckDB file on a network file system: attached, and held for the length of a reading."""

    read_as = "attached"

    def __init__(
        self, con: duckdb.DuckDBPyConnection, path: Path, allowed: Sequence[Path], wait: float
    ) -> None:
        """Lock the instance down to this file and some folders.

        Args:
            con: The instance.
            path: The file.
            allowed: Folders that the instance may use besides.
            wait: For how many seconds to try while the owner holds the file.
        """
        super().__init__(con, path)
        self._wait = wait
        _lock_down(con, [*allowed, path.parent])

    def _read(self, query: Query[T], seconds: float) -> T:  # noqa: ARG002
        check_file(self.path)
        cursor = self._con.cursor()
        deadline = time.monotonic() + self._wait
        while True:
            try:
                cursor.execute(f"ATTACH {quoted(self.path)} AS source (READ_ONLY, TYPE duckdb)")
                break
            except duckdb.Error as error:
                is_locked = isinstance(self.explain(error), SourceLockedError)
                if not is_locked or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_SECONDS)
        return _counted(self.stats, cursor, query)

    def explain(self, error: Exception) -> SourceError:
        """Tell an error as one of the source."""
        return _explain_file(self.path, error)


class ParquetFolder(Source):
    """A folder of Parquet files, which its owner replaces as wholes."""

    read_as = "files"
    is_ours = True

    def __init__(self, con: duckdb.DuckDBPyConnection, path: Path, allowed: Sequence[Path]) -> None:
        """Lock the instance down to this folder and some others."""
        super().__init__(con, path)
        _lock_down(con, [*allowed, path])

    def _read(self, query: Query[T], seconds: float) -> T:  # noqa: ARG002
        for _ in range(_FOLDER_ATTEMPTS):
            cursor = self._con.cursor()
            before = folder_signature(self.path)
            failed: duckdb.Error | None = None
            try:
                attach_folder(cursor, self.path)
                result = _counted(self.stats, cursor, query)
            except duckdb.Error as error:
                failed = error
            if folder_signature(self.path) == before:
                if failed:
                    raise failed
                return result
            self.stats.thrown_away += 1
        raise SourceChangingError(
            f"{self.path} changed in each of {_FOLDER_ATTEMPTS} readings",
            remedy="repeat when its files stay as they are; the last published data stays",
        )

    def explain(self, error: Exception) -> SourceError:
        """Tell an error as one of the source."""
        return explain_folder(self.path, error)

    def size_and_inode(self) -> tuple[int, int]:
        """Tell the size of its files in bytes, and the inode of the folder."""
        return folder_bytes(self.path), super().size_and_inode()[1]


class Address(Source):
    """Source that DuckDB can attach by an address; its consistency is that of one attach."""

    read_as = "address"
    is_ours = True

    def __init__(self, con: duckdb.DuckDBPyConnection, address: str, extension: str | None) -> None:
        """Take the address; an extension of DuckDB opens its own connections, so none is barred."""
        super().__init__(con, remote_name(address))
        self._address = address
        self._extension = extension

    def _read(self, query: Query[T], seconds: float) -> T:  # noqa: ARG002
        cursor = self._con.cursor()
        attach_remote(cursor, self._address, self._extension)
        return _counted(self.stats, cursor, query)

    def explain(self, error: Exception) -> SourceError:
        """Tell an error as one of the source, without its password."""
        if "Could not set lock" in str(error):
            return _explain_file(self.path, error)
        return explain_remote(self._address, error)

    def size_and_inode(self) -> tuple[int, int]:
        """Tell that it has none."""
        return 0, 0


def open_source(
    con: duckdb.DuckDBPyConnection,
    path: Path,
    limits: SourceLimits,
    allowed_directories: Sequence[Path] = (),
) -> Source:
    """Choose how a source is read. It is not touched yet.

    Args:
        con: An instance of its own; it can open nothing else from then on.
        path: The file or folder; the name of ``limits.attach``.
        limits: How it may be read.
        allowed_directories: Folders that the instance may use besides.

    Raises:
        SourceError: There is no such file.
    """
    if limits.attach is not None and path == remote_name(limits.attach):
        return Address(con, limits.attach, limits.extension)
    check_file(path)
    if path.is_dir():
        return ParquetFolder(con, path, allowed_directories)
    if is_local(path):
        return LiveDatabase(con, path, allowed_directories)
    return AttachedDatabase(con, path, allowed_directories, limits.attach_wait_seconds)


def _counted(stats: ReadingStats, cursor: duckdb.DuckDBPyConnection, query: Query[T]) -> T:
    """Run a query on what is attached, and detach it."""
    stats.readings += 1
    try:
        return query(cursor)
    finally:
        with suppress(duckdb.Error):
            detach_remote(cursor)


def _lock_down(con: duckdb.DuckDBPyConnection, folders: Sequence[Path]) -> None:
    """Bar an instance from everything but some folders."""
    texts = [f"{folder}/" for folder in folders]
    names = ", ".join(map(quoted, dict.fromkeys([*texts, *map(escape, texts)])))
    con.execute(f"SET allowed_directories = [{names}]")
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")


def _explain_file(path: Path, error: Exception) -> SourceError:
    if isinstance(error, OSError):
        return unreachable(path, error)
    if isinstance(error, duckdb.Error | UnicodeDecodeError):
        return explain_source(path, error)
    return SourceError(f"{path} cannot be read ({error})", remedy="check the file")
