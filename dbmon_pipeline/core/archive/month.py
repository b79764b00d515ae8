"""One month of the archive: copied under the lock in small slices, written once it is given back.

A file takes its name only after it was read back, and holds what the source still holds.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb

from dbmon_pipeline.core.archive.archive_sql import AllColumns
from dbmon_pipeline.core.common.duck import quoted, storage_errors
from dbmon_pipeline.core.common.errors import ArchiveError, StorageError
from dbmon_pipeline.core.common.instants import HOUR, hour_floor
from dbmon_pipeline.core.query.ranges import Part
from dbmon_pipeline.core.source.source import Source

HourRows = tuple[datetime, int]
"""When an hour begins, and how many rows it has."""

_FIRST_LOOK = timedelta(hours=48)
_SMALLEST_SLICE_ROWS = 2_500
"""A row with an embedding takes up to 20 microseconds to copy."""
_LARGEST_SLICE_ROWS = 122_880
"""Slices of a snapshot would grow without end, and they are in memory."""
_OPTIONS = "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE_BYTES '64MB'"
_TABLE = "source.main.executions"


@dataclass(frozen=True)
class ArchivedFile:
    """The file of a month, or of the part of one that was archived.

    Attributes:
        path: Where it lies.
        rows: How many rows it has.
        size_bytes: How large it is.
        is_new: Whether it was written now; else it was there, with the same rows.
    """

    path: Path
    rows: int
    size_bytes: int
    is_new: bool


class _Sums(NamedTuple):
    """What is equal for two copies of the same rows."""

    rows: int
    ids: int
    hashes: int


def hours_with_rows(source: Source, oldest: datetime, end: datetime) -> list[HourRows]:
    """The hours before ``end`` that have rows.

    Raises:
        SourceError: The source cannot be read.
    """
    start, step = hour_floor(oldest), _FIRST_LOOK
    hours: list[HourRows] = []
    while start < end:
        until = min(start + step, end) if end - start > step else end
        with source.attached() as con:
            hours += con.execute(
                f"SELECT date_trunc('hour', {source.schema.expression('timestamp')}), count(*)"
                f" FROM {_TABLE} WHERE {source.schema.between('start', 'until')}"
                " GROUP BY 1 ORDER BY 1",
                {"start": start, "until": until},
            ).fetchall()
        step = max(HOUR, HOUR * int(step * source.fit() / HOUR))
        start = until
        source.pause()
    return hours


def month_of(instant: datetime) -> datetime:
    """When the month of an instant begins."""
    return hour_floor(instant).replace(day=1, hour=0)


class Months:
    """Writes months of a source to files, one after the other."""

    def __init__(
        self, source: Source, con: duckdb.DuckDBPyConnection, out: Path, workshop: Path
    ) -> None:
        """Read which columns there are.

        Args:
            source: Where the rows come from.
            con: A connection to the instance into whose memory they are copied.
            out: The folder of the files.
            workshop: A private one inside it, for what must not stay.

        Raises:
            SourceError: The source cannot be read.
        """
        self._source = source
        self._con = con
        self._out = out
        self._workshop = workshop
        with source.attached() as cursor:
            self._columns = AllColumns.of_source(cursor)

    def file(self, hours: list[HourRows], end: datetime) -> ArchivedFile:
        """Write a month, or see that it was written already.

        Args:
            hours: Those of its hours that have rows.
            end: Later rows are left out.

        Raises:
            SourceError: The source cannot be read.
            ArchiveError: Its owner changed the month meanwhile, or the file holds other rows.
            StorageError: The file cannot be written, or does not hold what was written.
        """
        month = month_of(hours[0][0])
        next_month = month_of(month + timedelta(days=31))
        until = min(end, next_month)
        part = "" if until == next_month else f"_before_{until:%Y-%m-%d}"
        target = self._out / f"executions_{month.isoformat()[:7]}{part}.parquet"
        if is_new := not os.path.lexists(target):
            sums = self._write(self._workshop / target.name, _slices(self._source, hours, until))
        else:
            sums = self._sums_there(target)
        if self._sums_of_source(_slices(self._source, hours, until)) != sums[::2]:
            if is_new:
                raise changed(self._source.path, f"of {month:%Y-%m}")
            raise _in_the_way(target)
        with storage_errors(target):
            if is_new:
                (self._workshop / target.name).rename(target)
                _synchronize(self._out)
            return ArchivedFile(target, sums.rows, target.stat().st_size, is_new)

    def _write(self, draft: Path, slices: Iterator[Part]) -> _Sums:
        """Write slices of the source to one file, and see that it holds them."""
        con, schema = self._con, self._source.schema
        parts: list[Path] = []
        con.execute("CREATE OR REPLACE TABLE memory.main.ids (id UBIGINT)")
        rows = hashes = 0
        for start, end in slices:
            with self._source.attached() as cursor:
                cursor.execute(
                    f"CREATE OR REPLACE TABLE memory.main.slice AS FROM {_TABLE}"
                    f" WHERE {schema.between('start', 'until')}",
                    {"start": start, "until": end},
                )
            parts.append(draft.with_suffix(f".{len(parts)}"))
            with storage_errors(draft):
                in_slice = con.execute(
                    f"SELECT count(*), coalesce(sum({self._columns.row_hash}), 0)"
                    " FROM memory.main.slice"
                ).fetchall()[0]
                rows, hashes = rows + in_slice[0], hashes + in_slice[1]
                con.execute(
                    "INSERT INTO memory.main.ids SELECT DISTINCT hash(task_id)"
                    " FROM memory.main.slice WHERE task_id IS NOT NULL"
                )
                con.execute(
                    f"COPY (SELECT {self._columns.as_written} FROM memory.main.slice)"
                    f" TO {quoted(parts[-1])} (FORMAT parquet)"
                )
        with storage_errors(draft):
            ids = con.execute("SELECT count(DISTINCT id) FROM memory.main.ids").fetchall()[0][0]
            con.execute(f"COPY (FROM {_parquet(*parts)}) TO {quoted(draft)} ({_OPTIONS})")
            _synchronize(draft)
            for path in parts:
                path.unlink()
            found = self._sums_of_file(draft)
        if found != (sums := _Sums(rows, ids, hashes)):
            raise StorageError(
                f"{draft.name} does not hold what was written: {found} instead of {sums}",
                remedy="check the disk and repeat; keep the rows in the source",
            )
        return sums

    def _sums_there(self, path: Path) -> _Sums:
        """The sums of a file that was there.

        Raises:
            ArchiveError: It has other columns, or is no Parquet file.
        """
        try:
            found = self._con.execute(f"FROM {_parquet(path)} LIMIT 0").description or ()
            if [column[0] for column in found] != list(self._columns.types):
                raise _in_the_way(path)
            return self._sums_of_file(path)
        except duckdb.Error:
            raise _in_the_way(path) from None

    def _sums_of_file(self, path: Path) -> _Sums:
        return _Sums(
            *self._con.execute(
                "SELECT count(*), count(DISTINCT task_id),"
                f" coalesce(sum({self._columns.row_hash_of_file}), 0) FROM {_parquet(path)}"
            ).fetchall()[0]
        )

    def _sums_of_source(self, slices: Iterator[Part]) -> tuple[int, int]:
        """How many rows the source holds now, and the sum of their hashes."""
        rows = hashes = 0
        for start, end in slices:
            with self._source.attached() as con:
                in_slice = con.execute(
                    f"SELECT count(*), coalesce(sum({self._columns.row_hash}), 0) FROM {_TABLE}"
                    f" WHERE {self._source.schema.between('start', 'until')}",
                    {"start": start, "until": end},
                ).fetchall()[0]
            rows, hashes = rows + in_slice[0], hashes + in_slice[1]
        return rows, hashes


def changed(path: Path, which: str) -> ArchiveError:
    """What tells that the rows of a source did not stay the same."""
    return ArchiveError(
        f"the rows {which} in {path} changed while they were archived",
        remedy="repeat the command; the files that are written are kept",
    )


def _in_the_way(path: Path) -> ArchiveError:
    return ArchiveError(
        f"{path} exists and does not hold the same rows as the source",
        remedy="move it away, or name another folder with --out; no file is overwritten",
    )


def _slices(source: Source, hours: list[HourRows], end: datetime) -> Iterator[Part]:
    """Cut a month into slices of full hours, sized by how long the last hold was."""
    start, size, rows = month_of(hours[0][0]), _SMALLEST_SLICE_ROWS, 0
    for hour, rows_of_hour in hours:
        if rows and rows + rows_of_hour > size:
            yield start, hour
            source.pause()
            if rows > size // 2:
                wanted = int(size * source.fit())
                size = min(max(wanted, _SMALLEST_SLICE_ROWS), _LARGEST_SLICE_ROWS)
            start, rows = hour, 0
        rows += rows_of_hour
    yield start, end
    source.pause()


def _parquet(*paths: Path) -> str:
    """SQL that reads files; what is in their names is no pattern, and no column."""
    files = ", ".join(quoted(glob.escape(str(path))) for path in paths)
    return f"read_parquet([{files}], hive_partitioning = false)"


def _synchronize(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
