"""Reconciliation: the copy equals the source, and the tables equal the copy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from dbmon_pipeline.core.instants import DAY, day_start
from dbmon_pipeline.core.rollups import ROLLUPS, Rollup
from dbmon_pipeline.core.warehouse import Stage, Warehouse

_RELATIVE_TOLERANCE = 1e-9
"""Sums of floats depend on the order of adding."""


@dataclass(frozen=True)
class Comparison:
    """One figure, computed in two ways.

    Attributes:
        figure: What was computed.
        expected: Its value where the data came from.
        actual: Its value here.
    """

    figure: str
    expected: float
    actual: float

    @property
    def agrees(self) -> bool:
        """Whether both are the same, sums of floats to 1e-9."""
        return math.isclose(
            self.expected,
            self.actual,
            rel_tol=_RELATIVE_TOLERANCE,
            abs_tol=_RELATIVE_TOLERANCE,
        )


def reconcile_executions(warehouse: Warehouse) -> list[Comparison]:
    """Compare the copied hours with the control totals taken at the source in the same attach.

    Only hours of days that wait to be published are compared; all of them if none does.
    """
    days = _days_at_hand(warehouse, [r.name for r in ROLLUPS if r.window is None])
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
                sum(duration_seconds), sum(actual_cost)
            FROM executions
            WHERE timestamp >= $start AND timestamp < $end AND NOT pruned
                AND CAST(timestamp AS DATE) IN (SELECT unnest(CAST($days AS DATE[])))
            GROUP BY 1
            """,
        )
    )
    known = {row[0]: row[1:] for row in expected}
    copied = {row[0]: row[1:] for row in actual}
    nothing = (0,) * len(columns)
    return [
        Comparison(f"{column} of {hour:%Y-%m-%d %H}:00", want or 0, have or 0)
        for hour in sorted(known | copied)
        for column, want, have in zip(
            columns, known.get(hour, nothing), copied.get(hour, nothing), strict=True
        )
    ]


def reconcile_table(warehouse: Warehouse, rollup: Rollup, as_of: datetime) -> list[Comparison]:
    """Compare the totals of a summary table with those of the executions it was made from.

    Only the days that wait to be published are compared; all whose raw rows are at hand if none
    does.
    """
    con = warehouse.con
    if rollup.window is not None:
        start, end = rollup.window_at(as_of)
        here = f"SELECT {', '.join(rollup.totals)} FROM {rollup.name}"
        bounds: Mapping[str, object] = {"start": start, "end": end}
        actual = con.execute(here).fetchall()[0]
    else:
        days = _days_at_hand(warehouse, [rollup.name])
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
    expected = con.execute(
        f"SELECT {', '.join(rollup.totals.values())} FROM {counted_in}", bounds
    ).fetchall()[0]
    return [
        Comparison(figure, want or 0, have or 0)
        for figure, want, have in zip(rollup.totals, expected, actual, strict=True)
    ]


def _days_at_hand(warehouse: Warehouse, tables: list[str]) -> set[date]:
    pending = set().union(*(warehouse.pending(table, Stage.PUBLISH) for table in tables))
    if pending:
        return pending
    rows = warehouse.con.execute(
        "SELECT DISTINCT CAST(timestamp AS DATE) FROM executions"
    ).fetchall()
    return {day for (day,) in rows}
