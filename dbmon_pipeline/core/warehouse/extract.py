"""Extraction: the changed hours are copied out of the source into the warehouse.

One transaction makes the new rows take effect, notes the days that must be rolled up, and says how
far the source was read.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from datetime import date, datetime, timedelta

from dbmon_pipeline.core.common.errors import RefreshError
from dbmon_pipeline.core.common.instants import DAY, HOUR, day_start, hour_floor, iso
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.schema.rollups import ROLLUPS
from dbmon_pipeline.core.source.redaction import Redactor
from dbmon_pipeline.core.source.source import Source
from dbmon_pipeline.core.warehouse.changes import ChangedHour, Window, changed_hours
from dbmon_pipeline.core.warehouse.extraction import Extraction, remember
from dbmon_pipeline.core.warehouse.incoming import Incoming
from dbmon_pipeline.core.warehouse.pruning import has_aged, leave, mark_pruned, whole_old_days
from dbmon_pipeline.core.warehouse.replacement import is_another, refuse_much_gone, rows_gone
from dbmon_pipeline.core.warehouse.warehouse import Stage, State, Warehouse

logger = logging.getLogger(__name__)


def compare_since(
    warehouse: Warehouse, source: Source, config: MonitoringConfig, as_of: datetime
) -> datetime:
    """From which hour on to look for changes in this source; all of it if it is another one.

    Raises:
        SourceError: The file is not there.
    """
    if is_another(warehouse, source):
        return day_start(config.history_start)
    return recent_since(warehouse, config, as_of)


def recent_since(warehouse: Warehouse, config: MonitoringConfig, as_of: datetime) -> datetime:
    """From which hour on a refresh looks for changes: 48 h back, or since it last could.

    Before a source was read whole, that is the start of the history.
    """
    read_through = warehouse.instant(State.DATA_THROUGH)
    start = day_start(config.history_start)
    if read_through is None:
        return start
    look_back = timedelta(hours=config.source.compare_hours)
    return max(start, hour_floor(min(as_of, read_through) - look_back))


def kept_from(config: MonitoringConfig, as_of: datetime) -> date:
    """The first day whose raw rows stay in the warehouse."""
    return as_of.date() - timedelta(days=config.keep.executions_days)


def extract(
    warehouse: Warehouse,
    source: Source,
    config: MonitoringConfig,
    redactor: Redactor,
    *,
    days: tuple[date, date],
    as_of: datetime,
    accept_shrink: bool = False,
) -> Extraction:
    """Copy the changed hours of a stretch of days.

    The latest hours are compared too, whatever the stretch: only if nothing is left to read there
    does ``data_through`` move on to ``as_of``. Hours whose copy was found to be wrong, or of which
    the owner has pruned a part, are read again in any case.

    Args:
        warehouse: Where the rows go.
        source: Where they come from.
        config: The limits.
        redactor: What free text loses.
        days: The first and the last day of the stretch.
        as_of: Rows at or after it are not extracted.
        accept_shrink: Whether any part of what is known may be gone from the source.

    Raises:
        SourceShrankError: Much of what is known is gone from the source.
        RefreshError: ``as_of`` lies before the one that was read before.
        SourceError: The source cannot be read.
        StorageError: The warehouse cannot be written.
    """
    refuse_going_back(warehouse, as_of)
    redactor.catch_up(warehouse)
    overview = source.overview(day_start(config.history_start), as_of)
    if overview.missing_columns:
        columns = ", ".join(overview.missing_columns)
        logger.warning("%s: executions lacks optional columns: %s", source.path, columns)
    is_replaced = is_another(warehouse, source)
    if is_replaced:
        logger.warning(
            "%s is another file than before, or has other columns: all of it is compared",
            source.path,
        )
    oldest = overview.oldest
    aged = has_aged(warehouse, oldest)
    again = warehouse.distrusted()
    if aged and oldest and oldest.date() >= kept_from(config, as_of):
        again.add(hour_floor(oldest))
    stretch = (
        max(day_start(days[0]), day_start(config.history_start)),
        min(day_start(days[1]) + DAY, as_of),
    )
    recent = (compare_since(warehouse, source, config, as_of), as_of)
    windows = _merged([stretch, recent, *((hour, min(hour + HOUR, as_of)) for hour in again)])
    changed = changed_hours(warehouse, source, windows, lambda: oldest)
    inside = [hour for hour in changed if _within(hour.hour, stretch) or hour.hour in again]
    hours_left = len(changed) - len(inside)
    cut_short = oldest.date() if oldest and aged else None
    wanted, unrepairable = whole_old_days(warehouse, inside, cut_short=cut_short)
    incoming = Incoming(warehouse, source, redactor, as_of)
    incoming.copy(wanted)
    gone = rows_gone(warehouse, wanted)
    if not accept_shrink:
        refuse_much_gone(warehouse, source, config.source, wanted, gone)
    read_before = warehouse.instant(State.DATA_THROUGH)
    data_through = read_before if hours_left else as_of
    with warehouse.transaction():
        mark_pruned(warehouse, oldest, aged=aged)
        leave(warehouse, unrepairable)
        late_rows = _count_late(warehouse, wanted, read_before)
        touched = incoming.take_effect([hour.hour for hour in wanted])
        tables = [rollup.name for rollup in ROLLUPS if rollup.window is None]
        warehouse.add_pending(tables, touched, Stage.ROLL_UP)
        warehouse.set_state(State.AS_OF, as_of.isoformat())
        if not (is_replaced and hours_left):
            warehouse.set_state(State.SOURCE, json.dumps(source.identity))
        warehouse.set_state(State.OVERVIEW, json.dumps(asdict(overview), default=str))
        if data_through:
            warehouse.set_state(State.DATA_THROUGH, data_through.isoformat())
        done = Extraction(
            rows=incoming.rows,
            hours=tuple(hour.hour for hour in wanted),
            days=tuple(sorted(touched)),
            late_rows=late_rows,
            rows_gone=gone,
            is_replaced=is_replaced,
            hours_left=hours_left,
            unrepairable_hours=len(unrepairable),
            data_through=data_through,
            overview=overview,
            holds_ms=tuple(source.holds_ms),
            snapshot=source.snapshot,
        )
        remember(warehouse, done, as_of)
    return done


def refuse_going_back(warehouse: Warehouse, as_of: datetime) -> None:
    """An instant before the one already read would have to forget rows.

    Raises:
        RefreshError: It lies before it.
    """
    before = warehouse.instant(State.AS_OF)
    if before and as_of < before:
        raise RefreshError(
            f"as-of {iso(as_of)} lies before {iso(before)}, as of which this home was refreshed",
            remedy="give a later instant, or another home with --home",
        )


def _within(instant: datetime, window: Window) -> bool:
    return window[0] <= instant < window[1]


def _merged(windows: list[Window]) -> list[Window]:
    """Windows as ones that do not overlap, in ascending order; empty ones fall away."""
    merged: list[Window] = []
    for start, end in sorted(window for window in windows if window[0] < window[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _count_late(
    warehouse: Warehouse, hours: list[ChangedHour], read_before: datetime | None
) -> int:
    """How many rows came in that are older than what had been read, and were not known."""
    if read_before is None or not hours:
        return 0
    return int(
        warehouse.con.execute(
            """
            SELECT count(*) FROM incoming_executions AS incoming
            WHERE timestamp < $through AND NOT EXISTS (
                SELECT 1 FROM executions AS known
                WHERE
                    known.timestamp >= $first AND known.timestamp < $through
                    AND known.task_id = incoming.task_id
            )
            """,
            {"through": read_before, "first": hours[0].hour},
        ).fetchall()[0][0]
    )
