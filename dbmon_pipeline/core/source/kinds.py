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
from dbmon_pipeline.core.common.errors import (
    ContractError,
    SourceChangingError,
    SourceError,
    SourceLockedError,
)
from dbmon_pipeline.core.config.address import mask_secrets, remote_name
from dbmon_pipeline.core.config.monitoring import SourceLimits
from dbmon_pipeline.core.source.file_check import check_file, unreachable
from dbmon_pipeline.core.source.live_file import LiveFile, ReadingStats, is_local, lock_down
from dbmon_pipeline.core.source.parquet_folder import (
    folder_bytes,
    folder_signature,
    parquet_files,
)

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

    def explain(self, error: duckdb.Error | UnicodeDecodeError | OSError) -> SourceError:
        """Tell an error of DuckDB or of the system as one of the source."""
        if isinstance(error, OSError):
            return unreachable(self.path, error)
        return explain_source(self.path, error)

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


class _AttachedSource(Source):
    """A source that DuckDB attaches by itself for the length of a reading."""

    def _read(self, query: Query[T], seconds: float) -> T:  # noqa: ARG002
        cursor = self._con.cursor()
        self.stats.readings += 1
        try:
            self._attach(cursor)
            return query(cursor)
        finally:
            with suppress(duckdb.Error):
                for name in ("source", "remote"):
                    cursor.execute(f"DETACH DATABASE IF EXISTS {name}")

    @abstractmethod
    def _attach(self, cursor: duckdb.DuckDBPyConnection) -> None: ...


class AttachedDatabase(_AttachedSource):
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
        lock_down(con, [*allowed, path.parent])

    def _attach(self, cursor: duckdb.DuckDBPyConnection) -> None:
        check_file(self.path)
        deadline = time.monotonic() + self._wait
        while True:
            try:
                cursor.execute(f"ATTACH {quoted(self.path)} AS source (READ_ONLY, TYPE duckdb)")
            except duckdb.Error as error:
                is_locked = isinstance(self.explain(error), SourceLockedError)
                if not is_locked or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_SECONDS)
            else:
                return


class ParquetFolder(_AttachedSource):
    """A folder of Parquet files, which its owner replaces as wholes."""

    read_as = "files"
    is_ours = True

    def __init__(self, con: duckdb.DuckDBPyConnection, path: Path, allowed: Sequence[Path]) -> None:
        """Lock the instance down to this folder and some others."""
        super().__init__(con, path)
        lock_down(con, [*allowed, path])

    def _read(self, query: Query[T], seconds: float) -> T:
        for _ in range(_FOLDER_ATTEMPTS):
            before = folder_signature(self.path)
            failed: duckdb.Error | None = None
            try:
                result = super()._read(query, seconds)
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

    def _attach(self, cursor: duckdb.DuckDBPyConnection) -> None:
        paths = ", ".join(quoted(escape(str(path))) for path in parquet_files(self.path))
        cursor.execute("ATTACH ':memory:' AS source")
        cursor.execute(
            "CREATE VIEW source.main.executions AS FROM"
            f" read_parquet([{paths}], union_by_name = true, hive_partitioning = false)"
        )

    def explain(self, error: duckdb.Error | UnicodeDecodeError | OSError) -> SourceError:
        """Tell an error as one of the source."""
        return SourceError(
            f"{self.path} holds a file that cannot be read ({str(error).splitlines()[0]})",
            remedy="write each file under a name that begins with a dot, and rename it when it is"
            " whole; the last published data stays",
        )

    def size_and_inode(self) -> tuple[int, int]:
        """Tell the size of its files in bytes, and the inode of the folder."""
        return folder_bytes(self.path), super().size_and_inode()[1]


class Address(_AttachedSource):
    """Source that DuckDB can attach by an address; its consistency is that of one attach.

    Its path is the address without a password, which no file's name is.
    """

    read_as = "address"
    is_ours = True

    def __init__(self, con: duckdb.DuckDBPyConnection, address: str, extension: str | None) -> None:
        """Take the address; an extension of DuckDB opens its own connections, so none is barred."""
        super().__init__(con, remote_name(address))
        self._address = address
        self._extension = extension

    def _attach(self, cursor: duckdb.DuckDBPyConnection) -> None:
        if self._extension:
            cursor.execute(f"LOAD {self._extension}")
        cursor.execute(f"ATTACH {quoted(self._address)} AS remote (READ_ONLY)")
        schemas = cursor.execute(
            "SELECT schema_name FROM duckdb_tables()"
            " WHERE database_name = 'remote' AND table_name = 'executions'"
        ).fetchall()
        if len(schemas) != 1:
            raise ContractError(
                f"{self.path} has {len(schemas) or 'no'} tables 'executions'",
                remedy="name the database in which the orchestrator logs",
            )
        cursor.execute("ATTACH ':memory:' AS source")
        cursor.execute(
            f'CREATE VIEW source.main.executions AS FROM remote."{schemas[0][0]}".executions'
        )

    def explain(self, error: duckdb.Error | UnicodeDecodeError | OSError) -> SourceError:
        """Tell an error as one of the source, without its password."""
        if "Could not set lock" in str(error):
            return super().explain(error)
        name = str(self.path)
        told = next(iter(str(error).splitlines()), "").replace(self._address, name)
        rest = self._address.partition(":")[2]
        if len(rest) > len("://"):
            told = told.replace(rest, name.partition(":")[2])
        return SourceError(
            f"{name} cannot be read ({mask_secrets(told)})",
            remedy="check source.attach, and that source.extension names the extension that it"
            " needs, once installed with INSTALL in the duckdb shell; the last published data"
            " stays",
        )

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
