"""Data quality: how many rows are not what the schema promises. Counting only; no limit in here."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from dbmon_pipeline.core.common.instants import day_start
from dbmon_pipeline.core.common.shipped import sql
from dbmon_pipeline.core.schema.rollups import ROLLUPS
from dbmon_pipeline.core.warehouse.changes import Window
from dbmon_pipeline.core.warehouse.warehouse import Stage, State, Warehouse

_AT_LEAST = timedelta(hours=48)


def window(warehouse: Warehouse, as_of: datetime) -> Window:
    """What a refresh looks at: all since the first day that it has touched, at least 48 hours.

    So the first refresh looks at all there is, and what the others cost does not grow with it.
    """
    if as_of - datetime.min < _AT_LEAST:
        return as_of, as_of
    tables = [rollup.name for rollup in ROLLUPS]
    touched = set().union(*(warehouse.pending(table, stage) for table in tables for stage in Stage))
    first = day_start(min(touched)) if touched else as_of
    return min(first, as_of - _AT_LEAST), as_of


def measure(warehouse: Warehouse, name: str, window: Window) -> dict[str, int | str | None]:
    """The one row of a measurement in ``sql/checks``, over the raw executions of a window."""
    found = warehouse.con.execute(
        sql("checks", name), {"window_start": window[0], "window_end": window[1]}
    )
    columns = [column[0] for column in found.description or ()]
    return dict(zip(columns, found.fetchall()[0], strict=True))


def not_finite(warehouse: Warehouse, since: datetime) -> int:
    """How many NaN or infinite values became NULL on their way in, in hours from ``since`` on."""
    (count,) = warehouse.con.execute(
        "SELECT coalesce(CAST(sum(not_finite) AS BIGINT), 0) FROM hour_ledger WHERE hour >= $since",
        {"since": since},
    ).fetchall()[0]
    return int(count)


def overview(warehouse: Warehouse) -> dict[str, int]:
    """The counts of rows that lie outside of what is monitored, as of the last extraction."""
    known = json.loads(warehouse.state(State.OVERVIEW) or "{}")
    return {name: value for name, value in known.items() if isinstance(value, int)}
