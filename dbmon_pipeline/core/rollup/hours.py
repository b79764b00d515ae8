"""The hours of a chunk: their rows of the ledger, as the source and the figures here have them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

import duckdb

from dbmon_pipeline.core.changes.ledger import KNOWN, HourState
from dbmon_pipeline.core.common.instants import day_start, hour_floor
from dbmon_pipeline.core.rollup.chunks import Chunk
from dbmon_pipeline.core.rollup.read_rows import ROWS
from dbmon_pipeline.core.schema.catalogue import HOUR_LEDGER

_OF_THE_SOURCE = ("hour", "state", "source_executions", "fingerprint")
"""Columns that say what the source holds; the others say what is counted here."""


class Hours:
    """Rolls chunks up into the hour ledger.

    Attributes:
        late_rows: How many rows were new in the hour up to which the source had been read, although
            older than that.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        *,
        merged: Collection[datetime],
        kept: Collection[datetime],
        data_through: datetime | None,
    ) -> None:
        """Nothing is rolled up yet.

        Args:
            con: The instance, with the ledger.
            merged: Hours whose rows are those of the source and of ``recent_executions``.
            kept: Hours that keep their figures.
            data_through: Up to when the source had been read before.
        """
        self.late_rows = 0
        self._con = con
        self._merged = frozenset(merged)
        self._kept = frozenset(kept)
        self._read_through = data_through

    def roll_up(self, chunk: Chunk) -> None:
        """Add the hours of a chunk whose rows are there to ``hour_ledger``."""
        con, ledger = self._con, HOUR_LEDGER.name
        con.execute(
            f"INSERT INTO {ledger} BY NAME {HOUR_LEDGER.select}",
            {"window_start": chunk.start, "window_end": chunk.end},
        )
        self._count_late_rows(chunk)
        kept = [hour for hour in self._kept if chunk.covers(hour)]
        if kept:
            self._keep_figures(kept)
        con.execute(
            f"""
            UPDATE {ledger} SET
                source_executions = coalesce(source_executions, 0),
                state = CASE
                    WHEN coalesce(source_executions, 0) = 0 THEN '{HourState.PRUNED}'
                    WHEN source_executions < executions THEN '{HourState.CUT}'
                    ELSE '{HourState.WHOLE}'
                END
            WHERE list_contains($incomplete, hour)
            """,
            {"incomplete": [*kept, *(hour for hour in self._merged if chunk.covers(hour))]},
        )

    def settle(self, chunk: Chunk) -> None:
        """Let the hours of the days that a chunk completes take the place of those known."""
        con = self._con
        stretches = chunk.stretches
        if chunk.is_part_of_day:
            stretches = ((day_start(chunk.days[0]), chunk.end),)
        for start, end in stretches:
            window = {"start": start, "end": end}
            within = "hour >= $start AND hour < $end"
            con.execute(f"DELETE FROM {KNOWN} WHERE {within}", window)
            con.execute(
                f"INSERT INTO {KNOWN} BY NAME FROM {HOUR_LEDGER.name} WHERE {within}", window
            )

    def _keep_figures(self, kept: list[datetime]) -> None:
        con, ledger = self._con, HOUR_LEDGER.name
        columns = [row[0] for row in con.execute(f"DESCRIBE {ledger}").fetchall()]
        figures = ", ".join(f"{c} = k.{c}" for c in columns if c not in _OF_THE_SOURCE)
        con.execute(
            f"UPDATE {ledger} AS l SET {figures} FROM {KNOWN} AS k"
            " WHERE l.hour = k.hour AND list_contains($kept, l.hour)",
            {"kept": kept},
        )
        con.execute(
            f"INSERT INTO {ledger} BY NAME SELECT * FROM {KNOWN} AS k WHERE"
            f" list_contains($kept, hour) AND hour NOT IN (SELECT hour FROM {ledger})",
            {"kept": kept},
        )

    def _count_late_rows(self, chunk: Chunk) -> None:
        through = self._read_through
        if through is None or not chunk.covers(hour_floor(through)):
            return
        (late,) = self._con.execute(
            f"""
            SELECT (
                SELECT count(*) FROM {ROWS} WHERE timestamp >= $hour AND timestamp < $through
            ) - coalesce((SELECT sum(executions) FROM {KNOWN} WHERE hour = $hour), 0)
            """,
            {"hour": hour_floor(through), "through": through},
        ).fetchall()[0]
        self.late_rows += max(int(late), 0)


def late_rows(changed: dict[datetime, tuple[int, int]], data_through: datetime | None) -> int:
    """Count the rows that are new in hours that had been read to their end, net by hour."""
    if data_through is None:
        return 0
    limit = hour_floor(data_through) - timedelta.resolution
    return sum(max(now - before, 0) for hour, (now, before) in changed.items() if hour <= limit)
