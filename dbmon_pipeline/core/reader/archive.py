"""The work of an archive in the reader process: read old rows as they are, and write months."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import duckdb

from dbmon_pipeline.core.archive.archive_sql import AllColumns, delete_statements
from dbmon_pipeline.core.archive.month import MonthFile, Sums, month_end, month_of
from dbmon_pipeline.core.archive.result import ArchivedFile, ArchivedRows
from dbmon_pipeline.core.common.duck import connect, quoted
from dbmon_pipeline.core.common.errors import ArchiveError
from dbmon_pipeline.core.common.instants import EARLIEST
from dbmon_pipeline.core.config.monitoring import SourceLimits
from dbmon_pipeline.core.schema.manifest import SourceProfile
from dbmon_pipeline.core.source.contract import SourceSchema, inspect
from dbmon_pipeline.core.source.kinds import Source, open_source
from dbmon_pipeline.core.source.profile import look_over

HourRows = tuple[datetime, int]
"""When an hour begins, and how many rows it has."""

_MEMORY_LIMIT = "600MB"
_MOST_ROWS = 50_000
"""Most rows that one reading copies, unless an hour has more; one with an embedding takes 10 KB."""
_SECONDS = 30.0
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
            for month, hours_of_month in groupby(hours, lambda hour: month_of(hour[0]))
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
            delete_sql=delete_statements(self._schema, month_of(hours[0][0]), self._end, rows)
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
        """Write the file of a month, or see that it was written already."""
        until = min(self._end, month_end(month))
        part = "" if until == month_end(month) else f"_before_{until:%Y-%m-%d}"
        path = self._out / f"executions_{month.isoformat()[:7]}{part}.parquet"
        file = MonthFile(self._con, self._columns, path, self._workshop)
        chunks = list(_chunks(hours, until))
        if file.is_there:
            total = self._sum_up(chunks)
            file.check(total)
            return file.describe(total.rows)
        total = Sums(0, 0)
        for start, end in chunks:
            total = total.plus(self._copy(start, end))
            file.add_part(_COPY)
        file.assemble(total)
        if self._sum_up(chunks) != total:
            raise self._changed(f"of {month:%Y-%m}")
        file.give_name()
        return file.describe(total.rows)

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

    def _sum_up(self, chunks: list[tuple[datetime, datetime]]) -> Sums:
        """Sum up what the source holds now."""
        total = Sums(0, 0)
        for start, end in chunks:
            query = partial(self._sums, start=start, end=end)
            total = total.plus(self._source.read(query, seconds=_SECONDS))
        return total

    def _sums(self, cursor: duckdb.DuckDBPyConnection, start: datetime, end: datetime) -> Sums:
        if AllColumns.of_source(cursor) != self._columns:
            raise self._changed(f"before {self._end.date()}")
        return Sums(
            *cursor.execute(
                f"SELECT count(*), coalesce(sum({self._columns.row_hash}), 0) FROM {_TABLE}"
                f" WHERE {self._schema.between('start', 'until')}",
                {"start": start, "until": end},
            ).fetchall()[0]
        )

    def _changed(self, which: str) -> ArchiveError:
        return ArchiveError(
            f"the rows {which} in {self._source.path} changed while they were archived",
            remedy="repeat the command; the files that are written are kept",
        )


def _chunks(hours: list[HourRows], end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Cut a month at full hours, without gaps."""
    start, rows = month_of(hours[0][0]), 0
    for hour, count in hours:
        if rows and rows + count > _MOST_ROWS:
            yield start, hour
            start, rows = hour, 0
        rows += count
    yield start, end
