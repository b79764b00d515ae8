"""Recent executions: the rows of today and of the two days before, as files that change little.

A day that has ended is one file; today is a file an hour, or one while it is small. What did not
change is linked, and whole files go at midnight.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta

import duckdb

from dbmon_pipeline.core.changes.ledger import KNOWN
from dbmon_pipeline.core.common.instants import DAY, HOUR, day_start
from dbmon_pipeline.core.generation.writer import DraftWriter
from dbmon_pipeline.core.rollup.read_rows import DIMENSIONS, ROWS
from dbmon_pipeline.core.schema.catalogue import HOUR_LEDGER, TABLES
from dbmon_pipeline.core.schema.executions import COLUMNS
from dbmon_pipeline.core.schema.manifest import PublishedFile
from dbmon_pipeline.core.schema.period import bounds, hour_period

RECENT = "recent_executions"
DAYS_BEFORE = timedelta(days=2)
"""Whole days before today that are kept."""
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
        self._table = TABLES[RECENT]
        self._hours_today: set[datetime] | None = None
        self._linkable: set[datetime] = set()

    def add_pruned_rows(self, merged: Collection[datetime], pruned_before: datetime | None) -> None:
        """Add the rows to a chunk that its source no longer holds.

        A row that is there again, by its id or, without one, by its time, is not added. The id may
        stand in another hour as well: what is counted never depends on where chunks are cut.

        Args:
            merged: Hours of the chunk of which rows were pruned.
            pruned_before: Up to when rows were pruned; later ones were deleted.
        """
        hours = sorted(merged)
        if not hours:
            return
        before = self._writer.rows_before(self._table, hours[0], hours[-1] + HOUR)
        columns = ", ".join(column.name for column in COLUMNS)
        for name in DIMENSIONS:  # Those of the source are numbered, and may lack some of these.
            self._con.execute(f"ALTER TABLE {ROWS} ALTER {name} TYPE VARCHAR")
        self._con.execute(
            f"""
            INSERT INTO {ROWS} BY NAME
            SELECT {columns}, 0 AS not_finite, 0 AS unreadable, false AS is_in_source
            FROM ({before}) AS known
            WHERE
                list_contains($hours, date_trunc('hour', timestamp))
                AND timestamp < $pruned_before
                AND NOT EXISTS (
                    FROM {ROWS} AS r
                    WHERE
                        date_trunc('hour', r.timestamp) = date_trunc('hour', known.timestamp)
                        AND coalesce(r.task_id, CAST(r.timestamp AS VARCHAR))
                        = coalesce(known.task_id, CAST(known.timestamp AS VARCHAR))
                )
            """,
            {"hours": hours, "pruned_before": pruned_before or datetime.max},
        )

    def expect(self, today: int, *, anew: bool) -> None:
        """Choose whether today is a file an hour, so that hours that did not change are linked.

        Args:
            today: How many rows the source has of today, if today is read.
            anew: Whether no file may be linked.
        """
        if today < _ONE_FILE_ROWS:
            return
        self._hours_today = set()
        if not anew:
            self._linkable = {
                start
                for file in self._files_before(self._today)
                for start, end in [bounds(file.period)]
                if end - start == HOUR
            }

    def gather(self, start: datetime, end: datetime) -> None:
        """Take the rows of the chunk that are to be written; its hours are in ``hour_ledger``."""
        start, end = max(start, self._start), min(end, self._end)
        if start >= end:
            return
        windows = [(start, end)]
        if self._hours_today is not None:
            midnight = day_start(self._today)
            hours = self._hours_to_write(max(start, midnight), end)
            self._hours_today |= hours
            windows = [
                (start, min(end, midnight)),
                *((hour, min(hour + HOUR, end)) for hour in sorted(hours)),
            ]
        for first, last in windows:
            if first < last:
                self._con.execute(
                    f"INSERT INTO {self._table.name} BY NAME {self._table.select}",
                    {"window_start": first, "window_end": last},
                )

    def _hours_to_write(self, start: datetime, end: datetime) -> set[datetime]:
        """List the hours whose rows, as they were read, are not those of a file before.

        What the look over the source said is not asked: rows may have come since.
        """
        rows = self._con.execute(
            f"""
            SELECT l.hour FROM {HOUR_LEDGER.name} AS l
            LEFT JOIN {KNOWN} AS k ON l.hour = k.hour
            WHERE
                l.hour >= $start AND l.hour < $end
                AND (
                    NOT list_contains($linkable, l.hour)
                    OR l.fingerprint IS DISTINCT FROM k.fingerprint
                    OR l.executions IS DISTINCT FROM k.executions
                )
            """,
            {"start": start, "end": end, "linkable": sorted(self._linkable)},
        ).fetchall()
        return {hour for (hour,) in rows}

    def write(self, touched: Collection[date]) -> None:
        """Write the days that were read, and link or unite the files of the others."""
        for number in range(DAYS_BEFORE.days + 1):
            day = (self._start + number * DAY).date()
            files = self._files_before(day)
            if day not in touched:
                self._keep(day, files)
            elif day == self._today and self._hours_today is not None:
                self._write_hours(files, self._hours_today)
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

    def _write_hours(self, files: list[PublishedFile], hours: set[datetime]) -> None:
        """Write the hours of today that were gathered; link the others that still have rows."""
        periods = {hour_period(hour): hour for hour in hours}
        for file in files:
            if file.period not in periods and self._has_rows(file):
                self._writer.link(self._table.name, file)
        for period, hour in sorted(periods.items()):
            self._write(period, hour, hour + HOUR)

    def _has_rows(self, file: PublishedFile) -> bool:
        """Tell whether the hour of a file still has rows, and is one of today's."""
        start, end = bounds(file.period)
        if end - start != HOUR:
            return False
        (rows,) = self._con.execute(
            f"SELECT coalesce(sum(executions), 0) FROM {KNOWN} WHERE hour = $hour", {"hour": start}
        ).fetchall()[0]
        return bool(rows)

    def _write(self, period: str, start: datetime, end: datetime) -> None:
        self._writer.write(
            self._table,
            period,
            f"SELECT * FROM {self._table.name} WHERE timestamp >= $start AND timestamp < $end",
            start=start,
            end=end,
        )
