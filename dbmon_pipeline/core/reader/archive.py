"""The work of an archive in the reader process: read old rows as they are, and write months."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import duckdb

from dbmon_pipeline.core.archive.archive_sql import AllColumns, delete_statements
from dbmon_pipeline.core.archive.result import ArchivedFile, ArchivedRows
from dbmon_pipeline.core.common.atomic_files import sync
from dbmon_pipeline.core.common.duck import connect, quoted, storage_errors
from dbmon_pipeline.core.common.errors import ArchiveError, StorageError
from dbmon_pipeline.core.common.instants import EARLIEST, hour_floor
from dbmon_pipeline.core.config.monitoring import SourceLimits
from dbmon_pipeline.core.generation.generation import read_parquet
from dbmon_pipeline.core.schema.manifest import SourceProfile
from dbmon_pipeline.core.source.contract import SourceSchema, inspect
from dbmon_pipeline.core.source.kinds import Source, open_source
from dbmon_pipeline.core.source.profile import look_over

HourRows = tuple[datetime, int]
"""When an hour begins, and how many rows it has."""
Stretch = tuple[datetime, datetime]
"""From when and until when rows are read at a time."""

_MEMORY_LIMIT = "600MB"
_MOST_ROWS = 50_000
"""Most rows that one reading copies, unless an hour has more; one with an embedding takes 10 KB."""
_SECONDS = 30.0
_LONGEST_MONTH = timedelta(days=31)
_OPTIONS = "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE_BYTES '64MB'"
_TABLE = "source.main.executions"
_COPY = "memory.main.copied"


def archive_rows(
    path: Path, limits: SourceLimits, end: datetime, out: Path, workshop: Path
) -> ArchivedRows:
    """Write the rows before an instant to one Parquet file per month.

    Args:
        path: The source.
        limits: How it may be read.
        end: Rows at or after it are left out.
        out: The folder of the files.
        workshop: A private one inside it, for what must not stay.

    Raises:
        SourceError: The source cannot be read.
        ArchiveError: The source was changed meanwhile, or a file is there that holds other rows.
        StorageError: The files cannot be written.
    """
    con = connect(threads=1)
    try:
        con.execute(f"SET memory_limit = '{_MEMORY_LIMIT}'")
        con.execute(f"SET temp_directory = {quoted(workshop / 'spilt')}")
        con.execute("SET preserve_insertion_order = false")
        return _ArchiveWork(con, open_source(con, path, limits, [out]), end, out, workshop).run()
    finally:
        con.close()


class Sums(NamedTuple):
    """Figures in which two copies of the same rows agree."""

    rows: int
    hashes: int

    def plus(self, other: Sums) -> Sums:
        """Add the figures of other rows."""
        return Sums(self.rows + other.rows, self.hashes + other.hashes)


class _Look(NamedTuple):
    """Content of a source at a moment."""

    schema: SourceSchema
    columns: AllColumns
    profile: SourceProfile
    hours: list[HourRows]


class _ArchiveWork:
    """The months of a source, written one after the other."""

    _schema: SourceSchema
    _columns: AllColumns

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        source: Source,
        end: datetime,
        out: Path,
        workshop: Path,
    ) -> None:
        self._con = con
        self._source = source
        self._end = end
        self._out = out
        self._workshop = workshop

    def run(self) -> ArchivedRows:
        before = self._source.read(self._look, seconds=_SECONDS)
        self._schema, self._columns, hours = before.schema, before.columns, before.hours
        files = tuple(
            self._write_month(month, list(hours_of_month))
            for month, hours_of_month in groupby(hours, lambda hour: _month_of(hour[0]))
        )
        rows = sum(file.rows for file in files)
        after = self._source.read(self._look, seconds=_SECONDS)
        if after.columns != before.columns or after.profile.rows != rows:
            raise self._changed(f"before {self._end.date()}")
        days = Counter[date]()
        for hour, count in after.hours:
            days[hour.date()] += count
        can_delete = hours and self._source.read_as != "files"
        return ArchivedRows(
            files=files,
            days=dict(days),
            rows_without_timestamp=before.profile.rows_without_timestamp,
            rows_before_1970=before.profile.too_old_rows,
            delete_sql=delete_statements(self._schema, _month_of(hours[0][0]), self._end, rows)
            if can_delete
            else None,
            read_as=self._source.read_as,
        )

    def _look(self, cursor: duckdb.DuckDBPyConnection) -> _Look:
        """Count the rows of each hour before the end, and those that belong to none."""
        schema = inspect(cursor, self._source.path, is_ours=self._source.is_ours)
        hours = cursor.execute(
            f"SELECT date_trunc('hour', {schema.expression('timestamp')}), count(*)"
            f" FROM {_TABLE} WHERE {schema.between('start', 'until')}"
            " GROUP BY 1 ORDER BY 1",
            {"start": EARLIEST, "until": self._end},
        ).fetchall()
        return _Look(
            schema,
            AllColumns.of_source(cursor),
            look_over(cursor, self._source, schema, EARLIEST, self._end),
            hours,
        )

    def _write_month(self, month: datetime, hours: list[HourRows]) -> ArchivedFile:
        """Write the file of a month, or see that it was written already.

        Raises:
            ArchiveError: Its rows changed meanwhile, or other rows lie under its name.
            StorageError: It cannot be written.
        """
        until = min(self._end, _month_of(month + _LONGEST_MONTH))
        part = "" if until.day == 1 else f"_before_{until:%Y-%m-%d}"
        path = self._out / f"executions_{month.isoformat()[:7]}{part}.parquet"
        chunks = list(_chunks(hours, until))
        is_new = not os.path.lexists(path)
        with storage_errors(path):
            total = self._write(path, chunks) if is_new else self._sum_up(chunks)
            if not (is_new or self._holds(path, total)):
                raise ArchiveError(
                    f"{path} exists and does not hold the same rows as the source",
                    remedy="move it away, or name another folder with --out; no file is"
                    " overwritten",
                )
            size = path.stat().st_size
        return ArchivedFile(name=path.name, rows=total.rows, size_bytes=size, is_new=is_new)

    def _write(self, path: Path, chunks: list[Stretch]) -> Sums:
        """Write rows in parts, put them together, read that back, and give it its name."""
        draft, parts, total = self._workshop / path.name, list[Path](), Sums(0, 0)
        for start, end in chunks:
            total = total.plus(self._copy(start, end))
            parts.append(draft.with_suffix(f".{len(parts)}"))
            self._con.execute(
                f"COPY (SELECT {self._columns.as_written} FROM {_COPY})"
                f" TO {quoted(parts[-1])} (FORMAT parquet)"
            )
        self._con.execute(f"COPY (FROM {_rows(*parts)}) TO {quoted(draft)} ({_OPTIONS})")
        sync(draft)
        for part in parts:
            part.unlink()
        if not self._holds(draft, total):
            raise StorageError(
                f"{path.name} does not hold what was written",
                remedy="check the disk and repeat; keep the rows in the source",
            )
        if self._sum_up(chunks) != total:
            raise self._changed(f"of {chunks[0][0]:%Y-%m}")
        draft.rename(path)
        sync(path.parent)
        return total

    def _holds(self, path: Path, expected: Sums) -> bool:
        """Check that a file has the columns of the source, and rows with these sums."""
        rows = _rows(path)
        try:
            described = self._con.execute(f"FROM {rows} LIMIT 0").description or ()
            if [column[0] for column in described] != list(self._columns.types):
                return False
            return _sums(self._con, rows, self._columns.row_hash_of_file) == expected
        except duckdb.Error:
            return False

    def _copy(self, start: datetime, end: datetime) -> Sums:
        """Copy the rows of a stretch; their sums are taken from the source in the same reading."""

        def query(cursor: duckdb.DuckDBPyConnection) -> Sums:
            cursor.execute(
                f"CREATE OR REPLACE TABLE {_COPY} AS FROM {_TABLE}"
                f" WHERE {self._schema.between('start', 'until')}",
                {"start": start, "until": end},
            )
            return self._sums(cursor, start, end)

        return self._source.read(query, seconds=_SECONDS)

    def _sum_up(self, chunks: list[Stretch]) -> Sums:
        """Sum up what the source holds now."""
        total = Sums(0, 0)
        for start, end in chunks:
            query = partial(self._sums, start=start, end=end)
            total = total.plus(self._source.read(query, seconds=_SECONDS))
        return total

    def _sums(self, cursor: duckdb.DuckDBPyConnection, start: datetime, end: datetime) -> Sums:
        if AllColumns.of_source(cursor) != self._columns:
            raise self._changed(f"before {self._end.date()}")
        rows = f"{_TABLE} WHERE {self._schema.between('start', 'until')}"
        return _sums(cursor, rows, self._columns.row_hash, {"start": start, "until": end})

    def _changed(self, which: str) -> ArchiveError:
        return ArchiveError(
            f"the rows {which} in {self._source.path} changed while they were archived",
            remedy="repeat the command; the files that are written are kept",
        )


def _chunks(hours: list[HourRows], end: datetime) -> Iterator[Stretch]:
    """Cut a month at full hours, without gaps."""
    start, rows = _month_of(hours[0][0]), 0
    for hour, count in hours:
        if rows and rows + count > _MOST_ROWS:
            yield start, hour
            start, rows = hour, 0
        rows += count
    yield start, end


def _sums(
    con: duckdb.DuckDBPyConnection,
    rows: str,
    row_hash: str,
    values: Mapping[str, object] | None = None,
) -> Sums:
    query = f"SELECT count(*), coalesce(sum({row_hash}), 0) FROM {rows}"
    return Sums(*con.execute(query, values).fetchall()[0])


def _rows(*paths: Path) -> str:
    """Write SQL that reads files; a name like ``repo=x`` of a folder is no column."""
    return read_parquet(list(paths)).removesuffix(")") + ", hive_partitioning = false)"


def _month_of(instant: datetime) -> datetime:
    """Tell when the month of an instant begins."""
    return hour_floor(instant).replace(day=1, hour=0)
