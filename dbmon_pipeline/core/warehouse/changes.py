"""Changes: which hours of the source differ from what the warehouse has read of them.

Per hour, the number of rows and the sum of their hashes are compared with the ledger. So late,
changed and deleted rows are all found, by one cheap scan. (The sum rather than an exclusive or: two
equal rows must not cancel out.)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from dbmon_pipeline.core.common.instants import HOUR, hour_floor
from dbmon_pipeline.core.source.source import Source
from dbmon_pipeline.core.warehouse.warehouse import Warehouse

logger = logging.getLogger(__name__)

Window = tuple[datetime, datetime]
"""``[start, end)``."""

_FIRST_LOOK = timedelta(hours=52)
"""One hold is enough for the 48 hours that a usual refresh compares, and those since the last."""
_SHORTEST_LOOK = timedelta(hours=6)
"""On a busy machine to attach alone may take longer than a hold should, however short the look."""


@dataclass(frozen=True)
class ChangedHour:
    """An hour whose rows differ.

    Attributes:
        hour: When it begins.
        source_rows: How many rows the source has in it now.
        known_rows: How many it had when it was last read.
        fingerprint: The sum of the hashes of the rows that it has now, None if there are none.
    """

    hour: datetime
    source_rows: int = 0
    known_rows: int = 0
    fingerprint: int | None = None


def changed_hours(
    warehouse: Warehouse,
    source: Source,
    windows: Iterable[Window],
    oldest: Callable[[], datetime | None],
) -> list[ChangedHour]:
    """Compare the hours of some windows, which must not overlap.

    Args:
        warehouse: What was read.
        source: What there is.
        windows: Where to look; each begins on a full hour.
        oldest: Finds the source's oldest row; asked for only where it matters. Hours before it that
            are gone were pruned by the owner, not deleted, and do not count as changed.

    Returns:
        The hours that differ, in ascending order.

    Raises:
        SourceError: The source cannot be read.
    """

    @cache
    def horizon() -> datetime:
        found = oldest()
        return hour_floor(found) if found else datetime.max

    (known,) = warehouse.con.execute("SELECT min(hour) FROM hour_ledger").fetchall()[0]
    first_known = known or datetime.max
    is_new = not warehouse.con.execute(
        "SELECT 1 FROM hour_ledger UNION ALL SELECT 1 FROM pruned_hours LIMIT 1"
    ).fetchone()
    changed: list[ChangedHour] = []
    for start, end in windows:
        if start < first_known:
            start = max(start, min(horizon(), first_known))
        window = (start, end)
        _fingerprint(warehouse, source, window, only_count=is_new)
        rows = warehouse.con.execute(
            """
            SELECT
                coalesce(s.hour, k.hour),
                coalesce(s.executions, 0), coalesce(k.executions, 0), s.fingerprint
            FROM memory.main.fingerprints AS s
            FULL JOIN (
                SELECT * FROM hour_ledger WHERE hour >= $start AND hour < $end
            ) AS k ON s.hour = k.hour
            WHERE
                s.executions IS DISTINCT FROM k.executions
                OR s.fingerprint IS DISTINCT FROM k.fingerprint
            ORDER BY 1
            """,
            {"start": window[0], "end": end},
        ).fetchall()
        changed += [ChangedHour(*row) for row in rows if row[1] or row[0] >= horizon()]
    return changed


def _fingerprint(warehouse: Warehouse, source: Source, window: Window, *, only_count: bool) -> None:
    """Fill ``memory.main.fingerprints``, in slices that keep within the configured hold.

    Where nothing is known there is nothing to compare hashes with, and counting is much faster.
    """
    start, end = window
    step = _FIRST_LOOK
    warehouse.con.execute(
        "CREATE OR REPLACE TABLE memory.main.fingerprints"
        " (hour TIMESTAMP, executions BIGINT, fingerprint HUGEINT)"
    )
    while start < end:
        until = min(start + step, end) if end - start > step else end
        with source.attached() as con:
            row_hash = "NULL" if only_count else source.schema.row_hash
            con.execute(
                f"""
                INSERT INTO memory.main.fingerprints
                SELECT date_trunc('hour', {source.schema.expression("timestamp")}),
                    count(*), sum({row_hash})
                FROM source.main.executions
                WHERE {source.schema.between("start", "until")}
                GROUP BY 1
                """,
                {"start": start, "until": until},
            )
        step = max(_SHORTEST_LOOK, HOUR * int(step * source.fit() / HOUR))
        start = until
        source.pause()
