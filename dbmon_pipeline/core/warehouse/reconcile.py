"""Reconciliation: the copy equals the source, and the tables equal the copy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import product

from dbmon_pipeline.core.common.instants import DAY, day_start
from dbmon_pipeline.core.schema.rollups import ROLLUPS, Rollup
from dbmon_pipeline.core.warehouse.warehouse import Stage, Warehouse

_RELATIVE_TOLERANCE = 1e-9
"""Sums of floats depend on the order of adding."""


@dataclass(frozen=True)
class Comparison:
    """One figure, computed in two ways.

    Attributes:
        figure: What was computed.
        expected: Its value where the data came from.
        actual: Its value here.
        hour: The hour that it is of; None if it is of a whole table.
        magnitude: The sum of the absolute values that were added up; 0 for a count. Positive and
            negative ones may cancel out, and their sum then depends on the order of adding.
    """

    figure: str
    expected: float
    actual: float
    hour: datetime | None = None
    magnitude: float = 0

    @property
    def agrees(self) -> bool:
        """Whether both are the same, sums of floats to 1e-9 of what was added up.

        Sums that overflow cannot be compared.
        """
        return not math.isfinite(self.magnitude) or math.isclose(
            self.expected,
            self.actual,
            rel_tol=_RELATIVE_TOLERANCE,
            abs_tol=_RELATIVE_TOLERANCE * max(1, self.magnitude),
        )


def reconcile_executions(warehouse: Warehouse, kept_from: date = date.min) -> list[Comparison]:
    """Compare the copied hours with the control totals taken at the source in the same attach.

    Only hours of days that wait to be rolled up or published are compared; all of them if none
    does.

    Args:
        warehouse: Extracted.
        kept_from: The first day whose raw rows are kept; an earlier one may have lost them.
    """
    tables = [rollup.name for rollup in ROLLUPS if rollup.window is None]
    days = _days_to_compare(warehouse, tables, Stage, gone_before=kept_from)
    if not days:
        return []
    bounds = {"days": list(days), "start": day_start(min(days)), "end": day_start(max(days)) + DAY}
    columns = ("executions", "successes", "duration_sum", "actual_cost_sum")
    expected, actual = (
        warehouse.con.execute(statement, bounds).fetchall()
        for statement in (
            f"""
            SELECT hour, {", ".join(columns)} FROM hour_ledger
            WHERE hour >= $start AND hour < $end
                AND CAST(hour AS DATE) IN (SELECT unnest(CAST($days AS DATE[])))
            """,
            """
            SELECT
                date_trunc('hour', timestamp), count(*), count(*) FILTER (WHERE success),
                sum(duration_seconds), sum(actual_cost),
                sum(abs(duration_seconds)), sum(abs(actual_cost))
            FROM executions
            WHERE timestamp >= $start AND timestamp < $end AND NOT pruned
                AND CAST(timestamp AS DATE) IN (SELECT unnest(CAST($days AS DATE[])))
            GROUP BY 1
            """,
        )
    )
    known = {row[0]: row[1:] for row in expected}
    copied = {row[0]: row[1:5] for row in actual}
    magnitudes = {row[0]: (0, 0, *row[5:]) for row in actual}
    nothing = (0,) * len(columns)
    return [
        Comparison(f"{column} of {hour:%Y-%m-%d %H}:00", want or 0, have or 0, hour, size or 0)
        for hour in sorted(known | copied)
        for column, want, have, size in zip(
            columns,
            *(figures.get(hour, nothing) for figures in (known, copied, magnitudes)),
            strict=True,
        )
    ]


def reconcile_table(warehouse: Warehouse, rollup: Rollup, as_of: datetime) -> list[Comparison]:
    """Compare the totals of a summary table with those of the executions it was made from.

    Only the days that wait to be published are compared; all of them if none does. Days whose raw
    rows have left cannot be.
    """
    con = warehouse.con
    if rollup.window is not None:
        start, end = rollup.window_at(as_of)
        here = f"SELECT {', '.join(rollup.totals)} FROM {rollup.name}"
        bounds: Mapping[str, object] = {"start": start, "end": end}
        actual = con.execute(here).fetchall()[0]
    else:
        days = _days_to_compare(warehouse, [rollup.name], [Stage.PUBLISH], gone_before=date.max)
        if not days:
            return []
        bounds = {
            "days": list(days),
            "start": day_start(min(days)),
            "end": day_start(max(days)) + DAY,
        }
        actual = con.execute(
            f"SELECT {', '.join(rollup.totals)} FROM {rollup.name}"
            f" WHERE {rollup.time_column} >= $start AND {rollup.time_column} < $end"
            f" AND CAST({rollup.time_column} AS DATE) IN (SELECT unnest(CAST($days AS DATE[])))",
            bounds,
        ).fetchall()[0]
    within = "timestamp >= $start AND timestamp < $end" + (
        " AND CAST(timestamp AS DATE) IN (SELECT unnest(CAST($days AS DATE[])))"
        if rollup.window is None
        else ""
    )
    counted_in = rollup.counted_in.format(f"(SELECT * FROM executions WHERE {within})")
    totals = [*rollup.totals.values()]
    sums = ", ".join([*totals, *map(_magnitude, totals)])
    there = con.execute(f"SELECT {sums} FROM {counted_in}", bounds).fetchall()[0]
    expected, magnitudes = there[: len(totals)], there[len(totals) :]
    return [
        Comparison(figure, want or 0, have or 0, magnitude=size or 0)
        for figure, want, have, size in zip(
            rollup.totals, expected, actual, magnitudes, strict=True
        )
    ]


def _magnitude(total: str) -> str:
    """The sum of absolute values, for a total that is a sum; of nothing for a count."""
    return f"sum(abs({total.removeprefix('sum(')})" if total.startswith("sum(") else "sum(0)"


def redo(warehouse: Warehouse, rollup: Rollup) -> None:
    """Have the compared days of a table rolled up again by the next refresh: they are wrong.

    Raises:
        StorageError: The warehouse cannot be written.
    """
    if rollup.window is None:
        days = _days_to_compare(warehouse, [rollup.name], [Stage.PUBLISH], gone_before=date.max)
        with warehouse.transaction():
            warehouse.add_pending([rollup.name], days, Stage.ROLL_UP)


def _days_to_compare(
    warehouse: Warehouse, tables: Iterable[str], stages: Iterable[Stage], *, gone_before: date
) -> set[date]:
    """The days that wait for one of these stages, or all that have raw rows if none does.

    Left out are those days before ``gone_before`` that had raw rows once and have none now.
    """
    pending = set().union(
        *(warehouse.pending(table, stage) for table, stage in product(tables, stages))
    )
    if not pending:
        return _days(warehouse, "executions", "timestamp", date.min, date.max)
    bounds = (min(pending), max(pending))
    with_rows = _days(warehouse, "executions", "timestamp", *bounds)
    known = {
        day
        for table in ("hour_ledger", "pruned_hours")
        for day in _days(warehouse, table, "hour", *bounds)
    }
    return {day for day in pending if day in with_rows or day not in known or day >= gone_before}


def _days(warehouse: Warehouse, table: str, time_column: str, first: date, last: date) -> set[date]:
    """The days from the first to the last that have rows in a table."""
    rows = warehouse.con.execute(
        f"SELECT DISTINCT CAST({time_column} AS DATE) FROM {table}"
        f" WHERE {time_column} >= $first AND {time_column} <= $last",
        {"first": day_start(first), "last": datetime.combine(last, time.max)},
    ).fetchall()
    return {day for (day,) in rows}
