"""Data quality: how many rows are not what the schema promises. Counting only; no limit in here."""

from __future__ import annotations

import json
from datetime import datetime

from dbmon_pipeline.core.changes import Window
from dbmon_pipeline.core.files import sql
from dbmon_pipeline.core.warehouse import State, Warehouse


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
