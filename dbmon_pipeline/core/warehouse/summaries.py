"""Rolling up: the days whose executions changed are redone, table by table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dbmon_pipeline.core.common.duck import bound_memory
from dbmon_pipeline.core.common.instants import DAY, day_start, stretches
from dbmon_pipeline.core.schema.rollups import Rollup
from dbmon_pipeline.core.warehouse.warehouse import Stage, Warehouse

_LONGEST_WINDOW_DAYS = 31
"""How many days one statement rolls up at the most, which bounds its memory."""


@dataclass(frozen=True)
class RolledUp:
    """What rolling up one table did.

    Attributes:
        days: How many days were redone; 0 for a table of the last so much time.
        rows_written: How many rows were written.
        rows: How many rows the table has now.
    """

    days: int
    rows_written: int
    rows: int


def roll_up(warehouse: Warehouse, rollup: Rollup, as_of: datetime) -> RolledUp:
    """Redo the days of one table whose executions changed, in one transaction.

    Doing it again changes nothing. A table of the last so much time is redone whole.

    Raises:
        StorageError: The warehouse cannot be written.
    """
    days = warehouse.pending(rollup.name, Stage.ROLL_UP)
    bound_memory(warehouse.con)
    with warehouse.transaction() as con:
        if rollup.window is not None:
            windows = [rollup.window_at(as_of)]
            con.execute(f"DELETE FROM {rollup.name}")
        else:
            windows = [
                (day_start(first), day_start(last) + DAY)
                for first, last in stretches(days, longest=_LONGEST_WINDOW_DAYS)
            ]
            for start, end in windows:
                con.execute(
                    f"DELETE FROM {rollup.name}"
                    f" WHERE {rollup.time_column} >= $start AND {rollup.time_column} < $end",
                    {"start": start, "end": end},
                )
        rows_written = 0
        for start, end in windows:
            (written,) = con.execute(
                f"INSERT INTO {rollup.name} BY NAME {rollup.select}",
                {"window_start": start, "window_end": end},
            ).fetchall()[0]
            rows_written += written
        warehouse.advance(rollup.name, days)
        (rows,) = con.execute(f"SELECT count(*) FROM {rollup.name}").fetchall()[0]
    return RolledUp(days=len(days), rows_written=rows_written, rows=rows)
