"""Recent executions: the rows of today and of the two days before, as files that change little.

A day that has ended is one file; today is a file an hour, or one while it is small. What did not
change is linked, and whole files go at midnight.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta

import duckdb

from dbmon_pipeline.core.common.instants import DAY, HOUR, day_start
from dbmon_pipeline.core.generation.writer import DraftWriter
from dbmon_pipeline.core.rollup.read_rows import ROWS
from dbmon_pipeline.core.schema.catalogue import TABLES
from dbmon_pipeline.core.schema.executions import COLUMNS
from dbmon_pipeline.core.schema.manifest import PublishedFile
from dbmon_pipeline.core.schema.period import bounds, hour_period

DAYS_BEFORE = timedelta(days=2)
"""How many whole days before today are kept."""
_ONE_FILE_ROWS = 20_000
"""Up to so many rows today is one file."""


def recent_from(as_of: datetime) -> datetime:
    """Tell from when on the executions are kept at an instant."""
    return day_start(as_of.date()) - DAYS_BEFORE


class RecentExecutions:
    """The rows that are kept, gathered from chunks and written by day or hour."""

    def __init__(
        self, con: duckdb.DuckDBPyConnection, writer: DraftWriter, as_of: datetime
    ) -> None:
        """Gather nothing yet."""
        self._con = con
        self._writer = writer
        self._today = as_of.date()
        self._start = recent_from(as_of)
        self._end = as_of
        self._table = TABLES["recent_executions"]

    def add_pruned_rows(
        self, merged: Collection[datetime], oldest: datetime | None, pruned: Collection[datetime]
    ) -> None:
        """Add the rows to a chunk that its source no longer holds.

        Args:
            merged: Hours of the chunk of which rows were pruned.
            oldest: The source's oldest row; what is older was pruned.
            pruned: Those of the hours that were pruned whole; what is missing there was pruned.
        """
        hours = sorted(merged)
        if not hours:
            return
        before = self._writer.rows_before(self._table, hours[0], hours[-1] + HOUR)
        columns = ", ".join(column.name for column in COLUMNS)
        self._con.execute(
            f"""
            INSERT INTO {ROWS} BY NAME
            SELECT {columns}, 0 AS not_finite, 0 AS unreadable, false AS is_in_source
            FROM ({before}) AS known
            WHERE
                list_contains($hours, date_trunc('hour', timestamp))
                AND (
                    timestamp < $oldest
                    OR list_contains($pruned, date_trunc('hour', timestamp))
                )
                AND NOT EXISTS (FROM {ROWS} AS r WHERE r.task_id = known.task_id)
            """,
            {"hours": hours, "oldest": oldest or datetime.max, "pruned": sorted(pruned)},
        )

    def gather(self, start: datetime, end: datetime) -> None:
        """Take the rows of the chunk that are kept."""
        start, end = max(start, self._start), min(end, self._end)
        if start < end:
            self._con.execute(
                f"INSERT INTO {self._table.name} BY NAME {self._table.select}",
                {"window_start": start, "window_end": end},
            )

    def write(self, touched: Collection[date], changed: Collection[datetime], today: int) -> None:
        """Write the days that were read, and link or unite the files of the others.

        Args:
            touched: The days that were read; all of their rows were gathered.
            changed: The hours that differ from what was known.
            today: How many rows today has.
        """
        for number in range(DAYS_BEFORE.days + 1):
            day = (self._start + number * DAY).date()
            files = self._files_before(day)
            if day not in touched:
                self._keep(day, files)
            elif day == self._today and today >= _ONE_FILE_ROWS:
                self._write_hours(day, files, changed)
            else:
                self._write(day.isoformat(), *bounds(day.isoformat()))
        self._writer.complete(self._table)

    def _files_before(self, day: date) -> list[PublishedFile]:
        start = day_start(day)
        files = self._writer.before(self._table.name)
        return [file for file in files if file.overlaps(start, start + DAY)]

    def _keep(self, day: date, files: list[PublishedFile]) -> None:
        """Link the files of a day; those of the hours of a day that has ended become one."""
        if day == self._today or len(files) <= 1:
            for file in files:
                self._writer.link(self._table.name, file)
        else:
            start = day_start(day)
            rows = self._writer.rows_before(self._table, start, start + DAY)
            self._writer.write(self._table, day.isoformat(), f"SELECT * FROM ({rows})")

    def _write_hours(
        self, day: date, files: list[PublishedFile], changed: Collection[datetime]
    ) -> None:
        known = {file.period: file for file in files}
        for number in range(24):
            hour = day_start(day) + number * HOUR
            period = hour_period(hour)
            if period in known and hour not in changed:
                self._writer.link(self._table.name, known[period])
            else:
                self._write(period, hour, hour + HOUR)

    def _write(self, period: str, start: datetime, end: datetime) -> None:
        self._writer.write(
            self._table,
            period,
            f"SELECT * FROM {self._table.name} WHERE timestamp >= $start AND timestamp < $end",
            start=start,
            end=end,
        )
