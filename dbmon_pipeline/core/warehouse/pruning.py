"""Pruning: owners remove old rows from their source, and pruned is not deleted.

What lies before the source's oldest row stays with us: raw rows for as long as they are kept, and
the summaries for ever. A day whose raw rows have left us and of which a part was pruned can never
be read whole again, so it is never rolled up again.
"""

from __future__ import annotations

import json
from datetime import date, datetime

from dbmon_pipeline.core.common.instants import DAY, HOUR, day_start, hour_floor
from dbmon_pipeline.core.warehouse.changes import ChangedHour
from dbmon_pipeline.core.warehouse.warehouse import State, Warehouse


def has_aged(warehouse: Warehouse, oldest: datetime | None) -> bool:
    """Whether the source's oldest row is a later one than when it was last read.

    Args:
        warehouse: What was read.
        oldest: The timestamp of that row now, None if there is no row at all.
    """
    overview = warehouse.state(State.OVERVIEW)
    before = json.loads(overview)["oldest"] if overview else None
    return before is not None and (oldest is None or datetime.fromisoformat(before) < oldest)


def whole_old_days(
    warehouse: Warehouse, changed: list[ChangedHour], *, cut_short: date | None
) -> tuple[list[ChangedHour], list[ChangedHour]]:
    """Widen changed hours of days whose raw rows have left us to the whole day.

    Such a day is rolled up from the source alone, so it must be read whole; where its owner has
    pruned a part of it, what we have is better, and it is left.

    Args:
        warehouse: What we have.
        changed: The changed hours.
        cut_short: The day of the source's oldest row, if that has become a later one.

    Returns:
        The hours to copy, and the changed hours that are left as they are.
    """
    by_day: dict[date, list[ChangedHour]] = {}
    for hour in changed:
        by_day.setdefault(hour.hour.date(), []).append(hour)
    wanted: list[ChangedHour] = []
    unrepairable: list[ChangedHour] = []
    for day, hours in by_day.items():
        has_raw = _has_rows(warehouse, "executions", "timestamp", day)
        is_pruned = _has_rows(warehouse, "pruned_hours", "hour", day)
        is_known = is_pruned or _has_rows(warehouse, "hour_ledger", "hour", day)
        if has_raw or not is_known:
            wanted += hours
        elif is_pruned or day == cut_short:
            unrepairable += hours
        else:
            changed_at = {hour.hour: hour for hour in hours}
            all_day = (day_start(day) + n * HOUR for n in range(24))
            wanted += [changed_at.get(hour, ChangedHour(hour)) for hour in all_day]
    return wanted, unrepairable


def _has_rows(warehouse: Warehouse, table: str, time_column: str, day: date) -> bool:
    return bool(
        warehouse.con.execute(
            f"SELECT 1 FROM {table} WHERE {time_column} >= $start AND {time_column} < $end LIMIT 1",
            {"start": day_start(day), "end": day_start(day) + DAY},
        ).fetchone()
    )


def leave(warehouse: Warehouse, hours: list[ChangedHour]) -> None:
    """Know what the source says of hours that cannot be repaired; inside a transaction.

    So they do not count as changed again.
    """
    con = warehouse.con
    con.execute(
        "DELETE FROM hour_ledger WHERE hour IN (SELECT unnest(CAST($hours AS TIMESTAMP[])))",
        {"hours": [hour.hour for hour in hours]},
    )
    for hour in hours:
        if hour.source_rows:
            con.execute(
                "INSERT INTO hour_ledger BY NAME SELECT CAST($hour AS TIMESTAMP) AS hour,"
                " $rows AS executions, CAST($fingerprint AS HUGEINT) AS fingerprint",
                {
                    "hour": hour.hour,
                    "rows": hour.source_rows,
                    "fingerprint": str(hour.fingerprint),
                },
            )


def mark_pruned(warehouse: Warehouse, oldest: datetime | None, *, aged: bool) -> None:
    """Keep what lies before the source's oldest row; inside a transaction.

    Args:
        warehouse: What we have.
        oldest: The timestamp of that row, None if there is no row at all.
        aged: Whether it is a later one than before.
    """
    con, horizon = warehouse.con, oldest or datetime.max
    marked = con.execute(
        "UPDATE executions SET pruned = true WHERE timestamp < $horizon AND NOT pruned"
        " RETURNING date_trunc('hour', timestamp)",
        {"horizon": horizon},
    ).fetchall()
    hours = {hour for (hour,) in marked}
    horizon_hour = hour_floor(horizon)
    if aged and oldest and not _has_rows(warehouse, "executions", "timestamp", horizon_hour.date()):
        hours.add(horizon_hour)
    con.execute(
        """
        INSERT INTO pruned_hours
        SELECT hour FROM (
            SELECT unnest(CAST($hours AS TIMESTAMP[])) AS hour
            UNION SELECT hour FROM hour_ledger WHERE hour < $horizon_hour
        ) WHERE hour NOT IN (SELECT hour FROM pruned_hours)
        """,
        {"hours": list(hours), "horizon_hour": horizon_hour},
    )
    con.execute("DELETE FROM hour_ledger WHERE hour < $horizon", {"horizon": horizon_hour})
