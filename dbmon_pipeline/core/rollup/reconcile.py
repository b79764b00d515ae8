"""Reconciling: the rows equal the source's control sums, and the tables equal the ledger."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from datetime import date

import duckdb

from dbmon_pipeline.core.rollup.read_rows import CONTROLS, INCOMING
from dbmon_pipeline.core.schema.catalogue import HOUR_LEDGER, ROLLED_UP
from dbmon_pipeline.core.schema.manifest import Difference

_PATTERNS = "daily_patterns"
_RELATIVE_TOLERANCE = 1e-9
"""Sums of floats depend on the order of adding."""


def differences_from_source(con: duckdb.DuckDBPyConnection) -> list[Difference]:
    """Compare the rows that were read with the control sums of the source, hour by hour."""
    rows = con.execute(
        f"""
        SELECT
            coalesce(c.hour, r.hour), c.executions, r.executions, c.successes, r.successes,
            c.duration_sum, r.duration_sum, r.durations, c.actual_cost_sum, r.actual_cost_sum,
            r.costs
        FROM {CONTROLS} AS c
        FULL JOIN (
            SELECT
                date_trunc('hour', timestamp) AS hour,
                count(*) AS executions,
                count(*) FILTER (WHERE success) AS successes,
                sum(duration_seconds) AS duration_sum,
                sum(abs(duration_seconds)) AS durations,
                sum(actual_cost) AS actual_cost_sum,
                sum(abs(actual_cost)) AS costs
            FROM {INCOMING} GROUP BY 1
        ) AS r ON c.hour = r.hour
        """
    ).fetchall()
    differences = []
    for hour, *figures in rows:
        compared = (
            ("executions", figures[0], figures[1], 0),
            ("successes", figures[2], figures[3], 0),
            ("duration_sum", figures[4], figures[5], figures[6]),
            ("actual_cost_sum", figures[7], figures[8], figures[9]),
        )
        differences += [
            Difference(f"{name} of {hour:%Y-%m-%d %H}:00", want or 0, have or 0)
            for name, want, have, magnitude in compared
            if not agree(want or 0, have or 0, magnitude or 0)
        ]
    return differences


def differences_from_ledger(
    con: duckdb.DuckDBPyConnection,
    days: Collection[date],
    without: Collection[date],
    patterns_from: date = date.min,
    lost: Mapping[str, Collection[date]] | None = None,
) -> list[Difference]:
    """Compare the totals of every table with those of the ledger, for the days of a chunk.

    Args:
        con: The instance, with the rows of these days in each table.
        days: The days.
        without: Days whose tables made from rows keep their figures.
        patterns_from: The first day whose patterns are kept.
        lost: By table the days of which rows are lost.
    """
    differences: list[Difference] = []
    for table in ROLLED_UP:
        if table.window is not None or not table.totals:
            continue
        compared = [day for day in days if table.time_column != "date" or day not in without]
        if table.name == _PATTERNS:
            compared = [day for day in compared if day >= patterns_from]
        not_whole = {*(lost or {}).get(table.name, ()), *(lost or {}).get(table.source or "", ())}
        compared = [day for day in compared if day not in not_whole]
        columns = [*table.totals]
        expected = _totals(con, HOUR_LEDGER.name, "hour", columns, compared)
        actual = _totals(
            con, table.name, table.time_column, [*table.totals.values()], compared, of_table=True
        )
        for column, want, have in zip(columns, expected, actual, strict=True):
            if not agree(want or 0, have or 0, abs(want or 0)):
                differences.append(Difference(f"{column} of {table.name}", want or 0, have or 0))
    return differences


def _totals(
    con: duckdb.DuckDBPyConnection,
    table: str,
    time: str,
    columns: list[str],
    days: list[date],
    *,
    of_table: bool = False,
) -> tuple[float | None, ...]:
    sums = columns if of_table else [f"sum({column})" for column in columns]
    if not days:
        return (0,) * len(columns)
    return con.execute(
        f"SELECT {', '.join(sums)} FROM {table}"
        f" WHERE {time} >= $first AND {time} < $last + INTERVAL 1 DAY"
        f" AND list_contains($days, CAST({time} AS DATE))",
        {"first": min(days), "last": max(days), "days": days},
    ).fetchall()[0]


def agree(expected: float, actual: float, magnitude: float) -> bool:
    """Tell whether two figures are the same, sums of floats to 1e-9 of what was added up.

    Sums that overflow cannot be compared.
    """
    return not math.isfinite(magnitude) or math.isclose(
        float(expected),
        float(actual),
        rel_tol=_RELATIVE_TOLERANCE,
        abs_tol=_RELATIVE_TOLERANCE * max(1, abs(magnitude)),
    )
