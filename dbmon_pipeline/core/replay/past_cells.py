"""Cells of the past, by scope, which are quickly summed over any stretch of time."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dbmon_pipeline.core.query.published import Published

_OF_TOTALS = (None, "model_tier", "pool_type")
"""The dimensions that the much smaller ``hourly_totals`` have."""

_COUNTS = {
    "executions": ("sum(executions)", "count(*)"),
    "successes": ("sum(successes)", "count(*) FILTER (WHERE success)"),
    "errors": ("sum(errors)", "count(error_type)"),
    "durations": ("sum(duration_count)", "count(duration_seconds)"),
    "slow": ("0", "count(*) FILTER (WHERE duration_seconds > $target_seconds)"),
    "costs": ("sum(actual_cost_count)", "count(actual_cost)"),
    "both_costs": ("sum(both_costs_count)", "count(actual)"),
}
"""The counts: over the hours, and over the executions themselves."""
_AMOUNTS = {
    "seconds": ("sum(duration_sum)", "sum(duration_seconds)"),
    "cost": ("sum(actual_cost_sum)", "sum(actual_cost)"),
    "actual": ("sum(both_costs_actual_sum)", "sum(actual)"),
    "estimate": ("sum(both_costs_estimate_sum)", "sum(estimate)"),
    "actual_squares": ("0", "sum(actual * actual)"),
    "products": ("0", "sum(actual * estimate)"),
    "estimate_squares": ("0", "sum(estimate * estimate)"),
}
"""The sums, likewise; 0 stands for those that the hours do not have."""

OF_AN_HOUR = {
    "executions": "executions",
    "successes": "successes",
    "durations": "duration_count",
    "seconds": "duration_sum",
    "costs": "cost_count",
    "cost": "cost_sum",
}
"""The figures by which hours are compared, and their names in ``sql/checks/last_hour.sql``."""

_OVER_HOURS, _OVER_ROWS = (
    ", ".join(f"coalesce({measure}, 0)" for measure in measures)
    for measures in zip(*_COUNTS.values(), *_AMOUNTS.values(), strict=True)
)
_HOURS = f"""
    SELECT hour, {{scope}} AS scope, {_OVER_HOURS}
    FROM read_parquet($files)
    WHERE hour >= $since
    GROUP BY ALL
    ORDER BY hour
"""
_MINUTES = f"""
    WITH known AS (
        SELECT
            *,
            CASE WHEN cost_estimate IS NOT NULL THEN actual_cost END AS actual,
            CASE WHEN actual_cost IS NOT NULL THEN cost_estimate END AS estimate
        FROM read_parquet($files)
    )
    SELECT date_trunc('minute', timestamp) AS minute, {{scope}} AS scope, {_OVER_ROWS}
    FROM known
    GROUP BY ALL
    ORDER BY minute
"""

CellRange = tuple[int, int]
"""Which of some cells: from the one of a number up to, without, that of another."""


class Cells:
    """Cells of one scope, in the order of time.

    Attributes:
        starts: When each begins.
    """

    def __init__(self) -> None:
        """Start without cells."""
        self.starts: list[datetime] = []
        self._counts: dict[str, list[int]] = {name: [0] for name in _COUNTS}
        self._amounts: dict[str, list[float]] = {name: [] for name in _AMOUNTS}

    def add(self, start: datetime, values: Sequence[float]) -> None:
        """Add the next cell."""
        self.starts.append(start)
        for sums, count in zip(self._counts.values(), values, strict=False):
            sums.append(sums[-1] + int(count))
        for amounts, amount in zip(self._amounts.values(), values[len(_COUNTS) :], strict=True):
            amounts.append(amount)

    def within(self, since: datetime, until: datetime) -> CellRange:
        """Find the cells that begin in ``[since, until)``."""
        return bisect_left(self.starts, since), bisect_left(self.starts, until)

    def count(self, name: str, part: CellRange) -> int:
        """Count the executions of a kind in some cells."""
        sums = self._counts[name]
        return sums[part[1]] - sums[part[0]]

    def amount(self, name: str, part: CellRange) -> float:
        """Sum an amount over some cells; added up anew, so that a sum of zeros is zero."""
        return math.fsum(self._amounts[name][part[0] : part[1]])

    def hour(self, part: CellRange) -> tuple[object, ...]:
        """Return the figures by which an hour is compared with others."""
        return tuple(
            self.count(name, part) if name in self._counts else self.amount(name, part)
            for name in OF_AN_HOUR
        )


def read_hours(published: Published, by: str | None, since: datetime) -> Mapping[str, Cells]:
    """Read the published hours, from a first one on.

    Args:
        published: The generation.
        by: The dimension that has the scopes; without one it is ``all``.
        since: The first hour.

    Raises:
        NotPublishedError: A published file is damaged or gone.
    """
    table = "hourly_totals" if by in _OF_TOTALS else "hourly_summary"
    return _read(published, table, _HOURS, by, since=since)


def read_minutes(
    published: Published, by: str | None, target_seconds: float
) -> Mapping[str, Cells]:
    """Read the minutes of the published executions.

    Args:
        published: The generation.
        by: The dimension that has the scopes; without one it is ``all``.
        target_seconds: What takes longer is slow.

    Raises:
        NotPublishedError: A published file is damaged or gone.
    """
    return _read(published, "recent_executions", _MINUTES, by, target_seconds=target_seconds)


def _read(
    published: Published, table: str, select: str, by: str | None, **values: object
) -> Mapping[str, Cells]:
    rows: Any = published.fetch(table, select.format(scope=by or "'all'"), **values).rows
    cells: dict[str, Cells] = {}
    for start, scope, *measures in rows:
        cells.setdefault(scope, Cells()).add(start, measures)
    return cells
