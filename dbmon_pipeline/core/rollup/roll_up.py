"""Rolling up a chunk: its rows become rows of the summary tables, which wait to be written.

Hourly tables and those of a day are made from the rows, daily tables of additive measures from the
hourly ones. Hours that keep their figures take them from the generation before, and so does a day
that has such hours where a table is made from rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date, datetime

import duckdb

from dbmon_pipeline.core.common.instants import DAY, HOUR, day_start
from dbmon_pipeline.core.generation.writer import DraftWriter
from dbmon_pipeline.core.rollup.chunks import Chunk
from dbmon_pipeline.core.rollup.patterns import PATTERN_DAYS
from dbmon_pipeline.core.rollup.read_rows import DIMENSIONS, ROWS
from dbmon_pipeline.core.schema.catalogue import HOUR_LEDGER, ROLLED_UP, TABLES
from dbmon_pipeline.core.schema.table import Table

DAY_ROWS = "day_rows"
"""Rows that tables with a row a day need of a day that is read in parts."""
_DAY_COLUMNS = (
    *("task_id", "timestamp", "repo", "model_tier", "task_type", "success", "duration_seconds"),
    *("quality_score", "actual_cost"),
)
_PATTERNS = "daily_patterns"


class RollUp:
    """Rolls up chunk after chunk into tables of the instance.

    Attributes:
        lost_days: By table the days of which rows can be made from nothing else, since its file is
            damaged and the source no longer holds all of their hours.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        writer: DraftWriter,
        as_of: datetime,
        kept: Collection[datetime],
    ) -> None:
        """Nothing is rolled up yet.

        Args:
            con: The instance, with an empty table for each published one.
            writer: Reads the generation before.
            as_of: The instant that the refresh speaks for.
            kept: Hours that keep their figures.
        """
        self._con = con
        self._writer = writer
        self._patterns_from = day_start(as_of.date()) - PATTERN_DAYS
        self._kept = frozenset(kept)
        self.lost_days = {
            name: {
                hour.date() for hour in kept if any(start <= hour < end for start, end in windows)
            }
            for name, windows in writer.damaged_windows().items()
        }

    def roll_up(self, chunk: Chunk) -> None:
        """Roll up the rows of a chunk, without those of hours that keep their figures."""
        kept = sorted(hour for hour in self._kept if hour.date() in set(chunk.days))
        if kept:
            self._con.execute(
                f"DELETE FROM {ROWS} WHERE list_contains($kept, date_trunc('hour', timestamp))",
                {"kept": kept},
            )
        for table in ROLLED_UP:
            is_for_later = chunk.is_part_of_day and _is_of_days(table)
            if table.source == ROWS and table.window is None and not is_for_later:
                self._insert(table, chunk.start, chunk.end)
        if chunk.is_part_of_day:
            self._insert(TABLES[_PATTERNS], chunk.start, chunk.end)
            self._add_day_rows()
        if chunk.is_last_of_day:
            self._complete_days(chunk, kept)

    def _complete_days(self, chunk: Chunk, kept: list[datetime]) -> None:
        if chunk.is_part_of_day:
            self._roll_up_large_day(chunk.days[0])
        self._take_over(kept)
        start = day_start(chunk.days[0])
        for table in ROLLED_UP:
            if table.source in TABLES and table.window is None:
                self._insert(table, start, max(chunk.end, start + DAY))
                self._keep_derived(table, chunk)

    def _keep_derived(self, table: Table, chunk: Chunk) -> None:
        """Keep the rows of days whose rows in the table that they are made from are lost."""
        days = sorted(self.lost_days.get(table.source or "", set()) & set(chunk.days))
        if not days:
            return
        time = table.time_column
        within, values = f"list_contains($days, CAST({time} AS DATE))", {"days": days}
        self._con.execute(f"DELETE FROM {table.name} WHERE {within}", values)
        before = self._writer.rows_before(table, day_start(days[0]), day_start(days[-1]) + DAY)
        self._con.execute(
            f"INSERT INTO {table.name} BY NAME SELECT * FROM ({before}) WHERE {within}", values
        )

    def _insert(self, table: Table, start: datetime, end: datetime) -> None:
        if table.name == _PATTERNS:
            start = max(start, self._patterns_from)
        if start < end:
            self._con.execute(
                f"INSERT INTO {table.name} BY NAME {table.select}",
                {"window_start": start, "window_end": end},
            )

    def _add_day_rows(self) -> None:
        columns = ", ".join(
            f"CAST({name} AS VARCHAR) AS {name}" if name in DIMENSIONS else name
            for name in _DAY_COLUMNS
        )
        self._con.execute(
            f"CREATE TABLE IF NOT EXISTS {DAY_ROWS} AS SELECT {columns} FROM {ROWS} WHERE false"
        )
        self._con.execute(f"INSERT INTO {DAY_ROWS} SELECT {columns} FROM {ROWS}")

    def _roll_up_large_day(self, day: date) -> None:
        """Make the tables of a day that need its rows together, once all parts are read."""
        con = self._con
        con.execute(f"CREATE OR REPLACE TEMP VIEW {ROWS} AS FROM {DAY_ROWS}")
        try:
            for table in ROLLED_UP:
                if table.source == ROWS and _is_of_days(table) and table.name != _PATTERNS:
                    self._insert(table, day_start(day), day_start(day) + DAY)
        finally:
            con.execute(f"DROP VIEW temp.{ROWS}")
        con.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE merged AS
            SELECT
                date, repo, pattern_key,
                CAST(sum(usage_count) AS BIGINT) AS usage_count,
                CAST(sum(success_count) AS BIGINT) AS success_count,
                CAST(sum(quality_count) AS BIGINT) AS quality_count,
                CAST(sum(quality_sum) AS BIGINT) AS quality_sum,
                min(first_seen) AS first_seen,
                nullif(max(coalesce(last_seen, first_seen)), min(first_seen)) AS last_seen
            FROM {_PATTERNS} WHERE date = $day GROUP BY ALL
            """,
            {"day": day},
        )
        con.execute(f"DELETE FROM {_PATTERNS} WHERE date = $day", {"day": day})
        con.execute(f"INSERT INTO {_PATTERNS} BY NAME FROM merged")
        con.execute("DROP TABLE merged")

    def _take_over(self, kept: list[datetime]) -> None:
        """Take the rows of hours that keep their figures, and of their days, as they were."""
        if not kept:
            return
        days = sorted({hour.date() for hour in kept})
        for table in _made_from_rows():
            time = table.time_column
            values, column = (days, "date") if _is_of_days(table) else (kept, time)
            if _is_of_days(table):
                self._con.execute(
                    f"DELETE FROM {table.name} WHERE list_contains($values, {column})",
                    {"values": values},
                )
            before = self._writer.rows_before(table, day_start(days[0]), day_start(days[-1]) + DAY)
            self._con.execute(
                f"INSERT INTO {table.name} BY NAME"
                f" SELECT * FROM ({before}) WHERE list_contains($values, {column})",
                {"values": values},
            )


def lost_rows(writer: DraftWriter, kept: Collection[datetime]) -> tuple[str, ...]:
    """Name the damaged files that had rows which can be made from nothing else.

    Args:
        writer: Knows which files are damaged.
        kept: Hours that keep their figures, since the source no longer holds them.
    """
    return tuple(
        f"{name} from {start:%Y-%m-%d} to {end - HOUR:%Y-%m-%d}"
        for name, windows in writer.damaged_windows().items()
        if name != HOUR_LEDGER.name and TABLES[name].source in (ROWS, _PATTERNS)
        for start, end in windows
        if any(start <= hour < end for hour in kept)
    )


def _made_from_rows() -> Iterable[Table]:
    return (table for table in ROLLED_UP if table.source == ROWS and table.window is None)


def _is_of_days(table: Table) -> bool:
    return table.time_column == "date"
