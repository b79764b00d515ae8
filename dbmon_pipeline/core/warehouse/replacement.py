"""Replacement: a source that is another file than before, or suddenly lacks much of what it had.

A file that was swapped, restored from a backup or given other columns may differ anywhere, so its
whole history is compared once. What it no longer holds would be deleted here, too; if that is much,
a person is asked first.
"""

from __future__ import annotations

import json

from dbmon_pipeline.core.common.errors import SourceShrankError
from dbmon_pipeline.core.common.instants import HOUR, iso
from dbmon_pipeline.core.config.monitoring import SourceLimits
from dbmon_pipeline.core.source.source import Source
from dbmon_pipeline.core.warehouse.changes import ChangedHour
from dbmon_pipeline.core.warehouse.warehouse import State, Warehouse

_IDENTITY = ("path", "inode", "schema")
_FEWEST = 100
"""To lose fewer rows is never called much."""


def is_another(warehouse: Warehouse, source: Source) -> bool:
    """Whether the source is another file than the one that was read, or has other columns.

    Raises:
        SourceError: The file is not there.
    """
    before = json.loads(warehouse.state(State.SOURCE) or "{}")
    now = source.identity
    return any(name in before and before[name] != now[name] for name in _IDENTITY)


def rows_gone(warehouse: Warehouse, hours: list[ChangedHour]) -> int:
    """How many known rows of changed hours did not come in again, be it at another time.

    Where raw rows have left us, hours are compared by their number of rows.

    Args:
        warehouse: What was read; the rows of these hours wait in ``incoming_executions``.
        hours: Hours that differ, in ascending order, without what the owner has pruned.
    """
    if not any(hour.known_rows for hour in hours):
        return 0
    gone = dict(
        warehouse.con.execute(
            """
            SELECT
                date_trunc('hour', known.timestamp),
                count(*) FILTER (WHERE incoming.came IS NULL)
            FROM executions AS known
            LEFT JOIN (SELECT DISTINCT task_id, true AS came FROM incoming_executions) AS incoming
                ON known.task_id IS NOT DISTINCT FROM incoming.task_id
            WHERE
                NOT known.pruned AND known.timestamp >= $first AND known.timestamp < $end
                AND date_trunc('hour', known.timestamp) IN
                (SELECT unnest(CAST($hours AS TIMESTAMP[])))
            GROUP BY ALL
            """,
            {
                "first": hours[0].hour,
                "end": hours[-1].hour + HOUR,
                "hours": [hour.hour for hour in hours],
            },
        ).fetchall()
    )
    return sum(gone.get(hour.hour, max(hour.known_rows - hour.source_rows, 0)) for hour in hours)


def refuse_much_gone(
    warehouse: Warehouse, source: Source, limits: SourceLimits, hours: list[ChangedHour], gone: int
) -> None:
    """Ask before much is deleted here because the source no longer holds it.

    Much is more than the configured part of what was known from the first changed hour on.

    Raises:
        SourceShrankError: It is much.
    """
    if gone < _FEWEST:
        return
    since = hours[0].hour
    (known,) = warehouse.con.execute(
        "SELECT coalesce(CAST(sum(executions) AS BIGINT), 0) FROM hour_ledger WHERE hour >= $since",
        {"since": since},
    ).fetchall()[0]
    if gone > limits.most_gone * known:
        other = "another file than before" if is_another(warehouse, source) else "the same file"
        raise SourceShrankError(
            f"{source.path} ({other}) no longer holds {gone:,} of the {known:,} executions that"
            f" were read from it since {iso(since)}",
            remedy="restore it, or run 'dbmon refresh --accept-shrink' to have them deleted here,"
            " too; or name another home for another database",
        )
