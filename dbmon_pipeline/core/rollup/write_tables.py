"""Writing what was rolled up: periods while chunks go on, and whatever is left at the end."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date, datetime
from typing import Self

import duckdb

from dbmon_pipeline.core.changes.ledger import BEFORE, KNOWN
from dbmon_pipeline.core.common.instants import DAY, day_start
from dbmon_pipeline.core.generation.writer import DraftWriter
from dbmon_pipeline.core.rollup.patterns import PATTERN_DAYS, Patterns
from dbmon_pipeline.core.schema.catalogue import HOUR_LEDGER, ROLLED_UP, TABLES
from dbmon_pipeline.core.schema.manifest import Manifest
from dbmon_pipeline.core.schema.period import WINDOW

_DATED = tuple(table for table in ROLLED_UP if table.window is None)
_PATTERN_DAYS = TABLES["daily_patterns"]
_PATTERNS = TABLES["solution_patterns"]


class TableWriter:
    """Writes the summary tables and the ledger; a thread of its own writes what is complete."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        writer: DraftWriter,
        as_of: datetime,
        before: Manifest | None,
    ) -> None:
        """Nothing is written yet.

        Args:
            con: The instance whose tables hold the rows to write.
            writer: Writes their files.
            as_of: The instant that the refresh speaks for.
            before: What is published now.
        """
        self._con = con
        self._writer = writer
        self._as_of = as_of
        self._before = before
        self._thread = ThreadPoolExecutor(1)
        self._writer.keep_from(
            _PATTERN_DAYS.name,
            (day_start(as_of.date()) - PATTERN_DAYS).date(),
            has_moved=before is None or before.as_of.date() < as_of.date(),
        )
        self._writing: Future[None] | None = None

    def __enter__(self) -> Self:
        """Enter a block after which nothing is written any more."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the thread."""
        self._thread.shutdown()

    def write_complete(self, touched: frozenset[date], until: date) -> None:
        """Begin to write the periods that end by a day, while the next rows are rolled up.

        Args:
            touched: The days whose rows in memory take the place of those before.
            until: The first day that is not complete.
        """
        self.wait()
        self._writing = self._thread.submit(self._write_complete, touched, until)

    def wait(self) -> None:
        """Wait until what was begun is written, and raise what went wrong with it."""
        if self._writing:
            self._writing.result()

    def finish(self, touched: Collection[date], anew: Collection[str]) -> None:
        """Write what is left of tables that have rows by day, and link what did not change.

        Args:
            touched: The days that were rolled up.
            anew: Tables of which every file is written once more.
        """
        self.wait()
        for table in _DATED:
            self._writer.finish(table, touched, anew=table.name in anew)

    def write_patterns(
        self,
        patterns: Patterns,
        touched: Collection[date],
        anew: Collection[str],
    ) -> None:
        """Write ``solution_patterns``, or link it if nothing that it counts has changed."""
        start, _ = _PATTERNS.window_at(self._as_of)
        whole = self._writer.before(_PATTERNS.name)
        window_before, before = None, self._before
        if before and whole and not {_PATTERNS.name, _PATTERN_DAYS.name} & set(anew):
            window_before, _ = _PATTERNS.window_at(before.as_of)
            if window_before == start and not touched:
                self._writer.link(_PATTERNS.name, whole[0])
                return
        patterns.publish(touched, window_before)
        self._writer.write(_PATTERNS, WINDOW, f"SELECT * FROM {_PATTERNS.name}")

    def write_ledger(self, anew: Collection[str]) -> None:
        """Write the days of the ledger that differ from the published ones, or were damaged."""
        ledger = HOUR_LEDGER.name
        rows = self._con.execute(
            "SELECT DISTINCT CAST(hour AS DATE) FROM ("
            f" (FROM {KNOWN} EXCEPT FROM {BEFORE}) UNION ALL (FROM {BEFORE} EXCEPT FROM {KNOWN}))"
        ).fetchall()
        days = {day for (day,) in rows}
        for start, end in self._writer.damaged_windows().get(ledger, ()):
            days |= {(start + n * DAY).date() for n in range((end - start) // DAY)}
        self._con.execute(f"DELETE FROM {ledger}")
        # The rows of the other days come from the files before.
        self._con.execute(
            f"INSERT INTO {ledger} BY NAME FROM {KNOWN}"
            " WHERE list_contains($days, CAST(hour AS DATE))",
            {"days": sorted(days)},
        )
        self._writer.finish(HOUR_LEDGER, days, anew=ledger in anew)

    def _write_complete(self, touched: frozenset[date], until: date) -> None:
        for table in _DATED:
            self._writer.write_periods(table, touched, until)
