"""Writing the tables of a draft: the periods that changed are written, the others are linked.

Rows that were rolled up wait in a table of the instance under the published table's name. They are
written once all days of their period have been, so that memory holds one open period. Statements
have cursors of their own: a thread may write while another one rolls up the next rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import date, datetime
from pathlib import Path

import duckdb

from dbmon_pipeline.core.common.duck import quoted
from dbmon_pipeline.core.common.instants import DAY, day_start
from dbmon_pipeline.core.generation.generation import Generation, read_parquet
from dbmon_pipeline.core.schema.catalogue import TABLES
from dbmon_pipeline.core.schema.manifest import PublishedFile
from dbmon_pipeline.core.schema.period import EMPTY, WINDOW, bounds, period_of
from dbmon_pipeline.core.schema.table import Table

_ROW_GROUP_ROWS = 20_480
"""Rows that a reader skips or reads together; a question about some hours reads few of them."""


class DraftWriter:
    """Writes the files of a draft.

    Attributes:
        files: What was written or linked so far, by table.
        written: How many files were written, by table.
        bytes_written: Their size in bytes.
        linked: How many files were linked.
        small_years: Closed years whose rows are one file a table.
        damaged: Files of the generation before that could not be read, as ``table/name``.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        draft: Path,
        before: Generation | None,
        as_of: date,
    ) -> None:
        """Nothing is written yet.

        Args:
            con: The instance whose tables hold the rows to write.
            draft: The folder of the draft.
            before: What is published now.
            as_of: The day that the refresh speaks for.
        """
        self.files: dict[str, list[PublishedFile]] = {}
        self.written: dict[str, int] = {}
        self.bytes_written = 0
        self.linked = 0
        self.damaged: list[str] = []
        self.small_years: Collection[int] = ()
        self._con = con
        self._draft = draft
        self._before = before
        self._as_of = as_of
        self._kept_from: dict[str, tuple[date, bool]] = {}
        self._transforms: dict[str, Callable[[str], str]] = {}
        self._whole: dict[str, list[PublishedFile]] = {}
        self._emptied: dict[str, set[str]] = {}

    def before(self, table: str) -> list[PublishedFile]:
        """List the files of a table before, without those that are damaged or empty."""
        if self._before is None:
            return []
        if table not in self._whole:
            files = self._before.files(table)
            whole = [file for file in files if self._before.is_whole(table, file)]
            self.damaged += [f"{table}/{file.name}" for file in files if file not in whole]
            self._whole[table] = [file for file in whole if file.period != EMPTY]
        return self._whole[table]

    def damaged_windows(self) -> dict[str, list[tuple[datetime, datetime]]]:
        """List the stretches of time of the damaged files of each table."""
        windows: dict[str, list[tuple[datetime, datetime]]] = {}
        for name in self.damaged:
            table, _, file = name.partition("/")
            period = file.removesuffix(".parquet")
            if period == WINDOW:
                start, _ = TABLES[table].window_at(day_start(self._as_of))
                windows.setdefault(table, []).append((start, day_start(self._as_of) + DAY))
            elif period != EMPTY:
                windows.setdefault(table, []).append(bounds(period))
        return windows

    def transform(self, table: str, rows: Callable[[str], str]) -> None:
        """Have the rows before of a table read through another SELECT.

        Args:
            table: The table.
            rows: Makes a SELECT of one.
        """
        self._transforms[table] = rows

    def keep_from(self, table: str, first: date, *, has_moved: bool) -> None:
        """Let the rows before a day go.

        Args:
            table: The table.
            first: The first day that is kept.
            has_moved: Whether it is a later one than when the files before were written.
        """
        self._kept_from[table] = (first, has_moved)

    def write_periods(
        self, table: Table, touched: Collection[date], until: date = date.max
    ) -> None:
        """Write the periods of days that were rolled up, and drop their rows from memory.

        Args:
            table: The table.
            touched: Days whose rows in memory take the place of those before.
            until: Periods that end later wait.
        """
        limit = datetime.max if until == date.max else day_start(until)
        periods: dict[str, list[date]] = {}
        for day in sorted(touched):
            periods.setdefault(self.period(day), []).append(day)
        for period, days in periods.items():
            start, end = bounds(period)
            if end > limit or period in {file.period for file in self.files.get(table.name, ())}:
                continue
            self._write_period(table, period, days)
            self._con.cursor().execute(
                f"DELETE FROM {table.name}"
                f" WHERE {table.time_column} >= $start AND {table.time_column} < $end",
                {"start": start, "end": end},
            )

    def finish(self, table: Table, touched: Collection[date], *, anew: bool = False) -> None:
        """Write or link whatever of a table is left to be.

        Args:
            table: The table.
            touched: As for :meth:`write_periods`.
            anew: Whether files that did not change are written once more, in the table's columns.
        """
        self.write_periods(table, touched)
        there = {file.period for file in self.files.get(table.name, ())}
        there |= self._emptied.get(table.name, set())
        moved: dict[str, None] = {}
        for file in self.before(table.name):
            periods = self._periods(table, file)
            if periods == [file.period] and not anew and not self._is_outgrown(table, file):
                if file.period not in there:
                    self.link(table.name, file)
            else:
                moved |= dict.fromkeys(period for period in periods if period not in there)
        for period in moved:
            self._write_period(table, period, ())
        self.complete(table, anew=anew)

    def replace_day(self, table: Table, day: date) -> None:
        """Write the file of a day of the open month once more, from the rows in memory."""
        files = self.files.get(table.name, [])
        replaced = {day.isoformat(), EMPTY}
        for file in files:
            if file.period in replaced:
                self._take_back(table.name, file)
        self.files[table.name] = [file for file in files if file.period not in replaced]
        self._write_period(table, day.isoformat(), (day,))
        self.complete(table)

    def complete(self, table: Table, *, anew: bool = True) -> None:
        """Give a table without rows one file with its columns.

        Args:
            table: The table.
            anew: Whether to write it even if the generation before has one.
        """
        if self.files.get(table.name):
            return
        before = self._before
        if before and not anew:
            for file in before.files(table.name):
                if file.period == EMPTY and before.is_whole(table.name, file):
                    self.link(table.name, file)
                    return
        self.write(table, EMPTY, f"SELECT * FROM {table.name} WHERE false")

    def period(self, day: date) -> str:
        """Name the period of a day."""
        return period_of(day, self._as_of, self.small_years)

    def _periods(self, table: Table, file: PublishedFile) -> list[str]:
        """List the periods that the days of a file before belong to now."""
        start, end = bounds(file.period)
        first, _ = self._kept_from.get(table.name, (date.min, False))
        days = ((start + n * DAY).date() for n in range((end - start) // DAY or 1))
        return list(dict.fromkeys(self.period(day) for day in days if day >= first))

    def _is_outgrown(self, table: Table, file: PublishedFile) -> bool:
        """Tell whether a file has rows that are not kept any more."""
        first, has_moved = self._kept_from.get(table.name, (date.min, False))
        return has_moved and bounds(file.period)[0].date() < first

    def write(self, table: Table, period: str, select: str, **values: object) -> int:
        """Write one file, unless it would be empty; return how many rows it has."""
        folder = self._draft / table.name
        folder.mkdir(exist_ok=True)
        path = folder / f"{period}.parquet"
        (rows,) = (
            self._con.cursor()
            .execute(
                f"COPY ({select} ORDER BY {table.file_order}) TO {quoted(path)}"
                " (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1,"
                f" ROW_GROUP_SIZE {_ROW_GROUP_ROWS})",
                values,
            )
            .fetchall()[0]
        )
        if not rows and period not in (EMPTY, WINDOW):
            path.unlink()
            self._emptied.setdefault(table.name, set()).add(period)
            return 0
        path.chmod(0o444)
        size = path.stat().st_size
        self._note(table.name, PublishedFile(name=path.name, rows=rows, bytes=size))
        self.written[table.name] = self.written.get(table.name, 0) + 1
        self.bytes_written += size
        return int(rows)

    def link(self, table: str, file: PublishedFile) -> None:
        """Take over a file of the generation before as it is."""
        if self._before is None:
            raise RuntimeError("there is no generation to link from")
        (self._draft / table).mkdir(exist_ok=True)
        (self._draft / table / file.name).hardlink_to(self._before.path(table, file))
        self.linked += 1
        self._note(table, file)

    def relation(self, table: str, files: Iterable[PublishedFile]) -> str | None:
        """Write SQL that reads some files of the generation before; None without any."""
        if self._before is None:
            return None
        paths = [self._before.path(table, file) for file in files]
        return read_parquet(paths) if paths else None

    def draft_relation(self, table: str) -> str:
        """Write SQL that reads the files that the draft has of a table."""
        return read_parquet([self._draft / table / file.name for file in self.files[table]])

    def rows_before(self, table: Table, start: datetime, end: datetime) -> str:
        """Write a SELECT of the rows of ``[start, end)`` before, in the columns of today."""
        files = [file for file in self.before(table.name) if file.overlaps(start, end)]
        relation = self.relation(table.name, files)
        if relation is None:
            return f"SELECT * FROM {table.name} WHERE false"
        rows = self._in_columns_of_today(table.name, relation)
        return self._transforms.get(table.name, str)(rows)

    def _in_columns_of_today(self, table: str, relation: str) -> str:
        """Select the columns that a table has now; those that its files lack are NULL."""
        now, then = (
            [row[0] for row in self._con.cursor().execute(f"DESCRIBE FROM {name}").fetchall()]
            for name in (table, relation)
        )
        if now == then:
            return f"SELECT * FROM {relation}"
        common = ", ".join(column for column in now if column in then)
        return (
            f"SELECT * FROM {table} WHERE false UNION ALL BY NAME SELECT {common} FROM {relation}"
        )

    def _write_period(self, table: Table, period: str, touched: Collection[date]) -> None:
        start, end = bounds(period)
        first, _ = self._kept_from.get(table.name, (date.min, False))
        start = max(start, day_start(first))
        time = table.time_column
        within = f"{time} >= $start AND {time} < $end"
        values: dict[str, object] = {"start": start, "end": end}
        select = f"SELECT * FROM {table.name} WHERE {within}"
        if any(file.overlaps(start, end) for file in self.before(table.name)):
            before = self.rows_before(table, start, end)
            if touched:
                values["touched"] = list(touched)
                within += f" AND NOT list_contains($touched, CAST({time} AS DATE))"
            select += f" UNION ALL SELECT * FROM ({before}) WHERE {within}"
        self.write(table, period, f"SELECT * FROM ({select})", **values)

    def _take_back(self, table: str, file: PublishedFile) -> None:
        """Remove a file of the draft, as if it had never been linked or written."""
        path = self._draft / table / file.name
        if path.stat().st_nlink > 1:
            self.linked -= 1
        else:
            self.written[table] -= 1
            self.bytes_written -= file.bytes
        path.unlink()

    def _note(self, table: str, file: PublishedFile) -> None:
        self.files.setdefault(table, []).append(file)
