"""What an extraction did, and the history of that."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime

from dbmon_pipeline.core.schema.catalogue import REFRESH_HISTORY
from dbmon_pipeline.core.source.profile import Overview
from dbmon_pipeline.core.warehouse.snapshot import Snapshot
from dbmon_pipeline.core.warehouse.warehouse import Stage, Warehouse


@dataclass(frozen=True)
class Extraction:
    """What an extraction did.

    Attributes:
        rows: Rows that were copied.
        hours: The hours that were replaced.
        days: The days they belong to, all of which wait to be rolled up.
        late_rows: Rows new to us although older than what had been read before.
        rows_gone: Rows that went because the source no longer holds them.
        is_replaced: Whether the source was another file before, or had other columns.
        hours_left: Changed hours seen outside of the window, left for another refresh.
        unrepairable_hours: Changed hours of old days that their owner has pruned in part.
        data_through: The instant up to which the source has been read; None before it was read
            whole.
        overview: The glance at the source that this began with.
        holds_ms: How long each attach of the source lasted, in milliseconds.
        snapshot: The copy that was read in its stead, if its owner kept it open.
    """

    rows: int
    hours: tuple[datetime, ...]
    days: tuple[date, ...]
    late_rows: int
    rows_gone: int
    is_replaced: bool
    hours_left: int
    unrepairable_hours: int
    data_through: datetime | None
    overview: Overview
    holds_ms: tuple[float, ...] = field(repr=False)
    snapshot: Snapshot | None


def remember(warehouse: Warehouse, done: Extraction, as_of: datetime) -> None:
    """Add an extraction to ``refresh_history``; inside a transaction.

    Those that speak for the same instant are one row: a refresh may have several stretches of days.

    Args:
        warehouse: Where the history is.
        done: What it did.
        as_of: The instant that it spoke for.
    """
    warehouse.con.execute(
        """
        MERGE INTO refresh_history AS known USING (
            SELECT
                CAST($as_of AS TIMESTAMP) AS as_of,
                CAST($data_through AS TIMESTAMP) AS data_through,
                $rows_extracted AS rows_extracted,
                $hours_touched AS hours_touched,
                $late_rows_repaired AS late_rows_repaired,
                $rows_gone AS rows_gone,
                $hours_left AS hours_left,
                $source_attaches AS source_attaches,
                $longest_lock_ms AS longest_lock_ms,
                $total_lock_ms AS total_lock_ms,
                $is_snapshot AS is_snapshot
        ) AS done ON known.as_of = done.as_of
        WHEN MATCHED THEN UPDATE SET
            data_through = done.data_through,
            rows_extracted = known.rows_extracted + done.rows_extracted,
            hours_touched = known.hours_touched + done.hours_touched,
            late_rows_repaired = known.late_rows_repaired + done.late_rows_repaired,
            rows_gone = known.rows_gone + done.rows_gone,
            hours_left = done.hours_left,
            source_attaches = known.source_attaches + done.source_attaches,
            longest_lock_ms = greatest(known.longest_lock_ms, done.longest_lock_ms),
            total_lock_ms = known.total_lock_ms + done.total_lock_ms,
            is_snapshot = known.is_snapshot OR done.is_snapshot
        WHEN NOT MATCHED THEN INSERT BY NAME
        """,
        {
            "as_of": as_of,
            "data_through": done.data_through,
            "rows_extracted": done.rows,
            "hours_touched": len(done.hours),
            "late_rows_repaired": done.late_rows,
            "rows_gone": done.rows_gone,
            "hours_left": done.hours_left,
            "source_attaches": len(done.holds_ms),
            "longest_lock_ms": max(done.holds_ms, default=0.0),
            "total_lock_ms": sum(done.holds_ms, 0.0),
            "is_snapshot": done.snapshot is not None,
        },
    )
    waiting = warehouse.pending(REFRESH_HISTORY.name, Stage.PUBLISH)
    warehouse.add_pending([REFRESH_HISTORY.name], {as_of.date()} - waiting, Stage.PUBLISH)
