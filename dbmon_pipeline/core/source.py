"""The source: a learning database that somebody else writes, looked at in moments.

While any process has a DuckDB file open for reading, its owner cannot open it for writing. So the
file is attached READ_ONLY, what is needed is copied into memory, and it is detached again; the time
of every hold is recorded, and work is cut into slices by it.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from dbmon_pipeline.core.config import SourceLimits
from dbmon_pipeline.core.duck import explain_source, quoted
from dbmon_pipeline.core.errors import ContractError, SourceError, SourceLockedError
from dbmon_pipeline.core.model import COLUMNS, Column, Role

_HAS_INSTANT_TYPE = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS")
_FLOATING = ("FLOAT", "DOUBLE")
_AIM = 0.8
"""Which part of the longest hold a slice is sized for, since the next one may be slower."""
FUTURE_TOLERANCE = timedelta(minutes=5)
"""How far a clock may run ahead before its rows count as wrong."""


@dataclass(frozen=True)
class Overview:
    """What a glance at the source says.

    Attributes:
        oldest: The timestamp of its oldest monitored row, None if there is none.
        future_rows: Rows at or after as_of: not extracted yet.
        far_future_rows: Those of them more than five minutes after it.
        too_old_rows: Rows before the start of the history: never extracted.
        rows_without_timestamp: Rows that belong to no hour: never extracted.
        missing_columns: Optional columns that the source does not have.
    """

    oldest: datetime | None
    future_rows: int
    far_future_rows: int
    too_old_rows: int
    rows_without_timestamp: int
    missing_columns: tuple[str, ...]


class Source:
    """A learning database, and how to look into it.

    Attributes:
        path: The file.
        holds_ms: How long each attach lasted, in milliseconds.
    """

    def __init__(self, path: Path, limits: SourceLimits, con: duckdb.DuckDBPyConnection) -> None:
        """Take a cursor of the instance into whose memory rows will be copied.

        The source is not touched yet.
        """
        self.path = path
        self.holds_ms: list[float] = []
        self._limits = limits
        self._cursor = con.cursor()
        self._types: dict[str, str] | None = None

    @property
    def identity(self) -> dict[str, object]:
        """What tells this file from another one at the same path.

        Raises:
            SourceError: The file is not there.
        """
        try:
            stat = self.path.stat()
        except OSError as error:
            raise _unreachable(self.path, error) from None
        return {"path": str(self.path), "inode": stat.st_ino, "size_bytes": stat.st_size}

    @contextmanager
    def attached(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Hold the source for the block, as the schema ``source``.

        Yields:
            A cursor; tables of ``memory.main`` are shared with the other cursors.

        Raises:
            SourceLockedError: Its owner holds it for longer than the configured wait.
            SourceError: It is not there, not readable, damaged, or not a learning database.
        """
        self._check_file()
        started = self._attach()
        try:
            if self._types is None:
                self._types = self._inspect()
            yield self._cursor
        except duckdb.ConversionException as error:
            raise SourceError(
                f"{self.path} holds a value that cannot be read ({str(error).splitlines()[0]})",
                remedy="correct that value in the source; the last published data stays",
            ) from error
        except duckdb.Error as error:
            raise explain_source(self.path, error) from error
        finally:
            with suppress(duckdb.Error):
                self._cursor.execute("DETACH source")
            self.holds_ms.append((time.perf_counter() - started) * 1000)

    def pause(self) -> None:
        """Leave the owner a moment between two holds."""
        time.sleep(random.uniform(0.002, 0.006))  # noqa: S311 - jitter, not cryptography

    def fit(self) -> float:
        """By what factor the next slice should be larger, for its hold to stay within the limit."""
        goal = self._limits.longest_hold_ms * _AIM
        return min(2.0, max(0.25, goal / max(self.holds_ms[-1], 0.1)))

    def overview(self, history_start: datetime, as_of: datetime) -> Overview:
        """A glance at the rows that lie outside of what is monitored, and at the oldest within.

        Raises:
            SourceError: As for :meth:`attached`.
        """
        with self.attached() as con:
            timestamp = self.expression("timestamp")
            within = f"{self.at_or_after('start')} AND NOT {self.at_or_after('as_of')}"

            def count(condition: str, **instants: datetime) -> int:
                return int(
                    con.execute(
                        f"SELECT count(*) FROM source.executions WHERE {condition}", instants
                    ).fetchall()[0][0]
                )

            first = con.execute(
                f"SELECT {timestamp} FROM source.executions WHERE {within} ORDER BY 1 LIMIT 1",
                {"start": history_start, "as_of": as_of},
            ).fetchone()
            return Overview(
                oldest=first[0] if first else None,
                future_rows=count(self.at_or_after("as_of"), as_of=as_of),
                far_future_rows=count(self.at_or_after("as_of"), as_of=as_of + FUTURE_TOLERANCE),
                too_old_rows=count(f"NOT {self.at_or_after('start')}", start=history_start),
                rows_without_timestamp=count(f"{timestamp} IS NULL"),
                missing_columns=self.missing_columns,
            )

    @property
    def missing_columns(self) -> tuple[str, ...]:
        """Optional columns that the source does not have; known once it was attached."""
        return tuple(column.name for column in COLUMNS if column.name not in (self._types or {}))

    @property
    def raw_columns(self) -> tuple[str, ...]:
        """Those of our columns that the source has; known once it was attached."""
        return tuple(column.name for column in COLUMNS if column.name in (self._types or {}))

    def at_or_after(self, parameter: str) -> str:
        """SQL for "the row's timestamp is at or after this parameter".

        The parameter is converted rather than the column, so that DuckDB skips row groups by their
        minimum and maximum.
        """
        kind = (self._types or {})["timestamp"]
        if kind in _HAS_INSTANT_TYPE:
            return f'("timestamp" >= CAST(${parameter} AS TIMESTAMP))'
        if kind == "TIMESTAMP WITH TIME ZONE":
            return f'("timestamp" >= CAST(CAST(${parameter} AS TIMESTAMP) AS TIMESTAMPTZ))'
        return f'(CAST("timestamp" AS TIMESTAMP) >= CAST(${parameter} AS TIMESTAMP))'

    def expression(self, name: str) -> str:
        """SQL that turns the source's column into ours, NULL if the source does not have it."""
        column = next(column for column in COLUMNS if column.name == name)
        return _expression(column, (self._types or {}).get(name))

    def not_finite(self) -> str:
        """SQL for how many of a row's measures are NaN or infinite."""
        return (
            " + ".join(
                f'CASE WHEN NOT isfinite("{column.name}") THEN 1 ELSE 0 END'
                for column in COLUMNS
                if (self._types or {}).get(column.name) in _FLOATING
            )
            or "0"
        )

    def _check_file(self) -> None:
        try:
            if self.path.is_dir():
                raise SourceError(
                    f"{self.path} is a folder", remedy="name the learning.db inside it"
                )
            with self.path.open("rb") as file:
                if not file.read(1):
                    raise SourceError(
                        f"{self.path} is an empty file", remedy="name a DuckDB learning.db"
                    )
        except OSError as error:
            raise _unreachable(self.path, error) from None

    def _attach(self) -> float:
        """Attach within the configured wait, and tell when."""
        deadline = time.monotonic() + self._limits.lock_wait_seconds
        while True:
            started = time.perf_counter()
            try:
                self._cursor.execute(
                    f"ATTACH {quoted(self.path)} AS source (READ_ONLY, TYPE duckdb)"
                )
            except duckdb.Error as error:
                explained = explain_source(self.path, error)
                if not isinstance(explained, SourceLockedError) or time.monotonic() > deadline:
                    raise explained from error
                time.sleep(random.uniform(0.005, 0.05))  # noqa: S311 - jitter, not cryptography
            else:
                return started

    def _inspect(self) -> dict[str, str]:
        """The types of those columns that we take.

        Raises:
            ContractError: There is no such table, or a column is missing or of an unusable type.
        """
        con, path = self._cursor, self.path
        tables = con.execute(
            "SELECT table_name FROM duckdb_tables()"
            " WHERE database_name = 'source' AND schema_name = 'main' AND table_name = 'executions'"
        ).fetchall()
        if not tables:
            raise ContractError(
                f"{path} has no table 'executions'", remedy="name the orchestrator's learning.db"
            )
        types = dict(
            con.execute(
                "SELECT lower(column_name), data_type FROM duckdb_columns()"
                " WHERE database_name = 'source' AND schema_name = 'main'"
                " AND table_name = 'executions'"
            ).fetchall()
        )
        for column in COLUMNS:
            if column.name not in types:
                if column.required:
                    raise ContractError(
                        f"{path}: executions has no column '{column.name}'",
                        remedy="add it; the schema contract is in sql/source/executions.sql",
                    )
                continue
            try:
                con.execute(
                    f"SELECT {_expression(column, types[column.name])}"
                    " FROM source.main.executions LIMIT 0"
                )
            except (
                duckdb.BinderException,
                duckdb.ConversionException,
                duckdb.NotImplementedException,
            ):
                raise ContractError(
                    f"{path}: executions.{column.name} is {types[column.name]},"
                    f" which cannot be read as {column.type}",
                    remedy="change its type; the schema contract is in sql/source/executions.sql",
                ) from None
        return {column.name: types[column.name] for column in COLUMNS if column.name in types}


def signature(path: Path) -> str:
    """A text that changes whenever the source is written, from file metadata alone.

    Raises:
        SourceError: The source is not there.
    """
    parts = []
    for file in (path, path.with_name(f"{path.name}.wal")):
        try:
            stat = file.stat()
        except FileNotFoundError as error:
            if file == path:
                raise _unreachable(path, error) from None
        except OSError as error:
            raise _unreachable(path, error) from None
        else:
            parts.append(f"{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}")
    return " ".join(parts)


def _expression(column: Column, source_type: str | None) -> str:
    if source_type is None:
        value = f"CAST(NULL AS {column.type})"
    elif source_type in _FLOATING and column.type in ("DOUBLE", "BIGINT"):
        value = (
            f'CASE WHEN isfinite("{column.name}") THEN CAST("{column.name}" AS {column.type}) END'
        )
    elif column.role is Role.MEASURE and source_type == "VARCHAR":
        number = f'CAST("{column.name}" AS DOUBLE)'
        value = f"CASE WHEN isfinite({number}) THEN {number} END"
    elif source_type == column.type:
        value = f'"{column.name}"'
    else:
        value = f'CAST("{column.name}" AS {column.type})'
    return f"coalesce({value}, 'unknown')" if column.role is Role.DIMENSION else value


def _unreachable(path: Path, error: OSError) -> SourceError:
    if isinstance(error, PermissionError):
        return SourceError(
            f"{path} may not be read by user {os.getuid()}", remedy="grant read permission on it"
        )
    if isinstance(error, FileNotFoundError):
        return SourceError(
            f"{path} does not exist",
            remedy="name the learning.db with --source or DBMON_SOURCE, or run dbmon sample",
        )
    return SourceError(f"{path} cannot be read ({error})", remedy="check the path and the disk")
