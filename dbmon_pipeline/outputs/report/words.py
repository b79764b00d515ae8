"""Words and numbers for people: units, times of a zone, and text from the data made harmless."""

from __future__ import annotations

from datetime import datetime

from dbmon_pipeline.core.common.instants import local, parse_instant
from dbmon_pipeline.core.common.rows import Scalar
from dbmon_pipeline.core.common.safe_text import plain
from dbmon_pipeline.core.query.ranges import TimeRange

NO_DATA = "no data"
_LONGEST = 90
_PERIODS = {
    TimeRange.HOUR: "hour",
    TimeRange.DAY: "24 hours",
    TimeRange.WEEK: "7 days",
    TimeRange.MONTH: "30 days",
    TimeRange.QUARTER: "90 days",
}
_HEADINGS = {
    "avg_concurrency": "Ran at once",
    "avg_cost": "Cost each",
    "avg_cpu_seconds": "Mean CPU time",
    "avg_duration_seconds": "Mean duration",
    "avg_memory_mb": "Mean memory",
    "avg_quality": "Mean quality",
    "avg_savings": "Saved each",
    "avg_seconds": "Mean duration",
    "beyond": "Beyond a limit",
    "busy_seconds": "Busy time",
    "cost_per_estimated_dollar": "Cost per estimated dollar",
    "error_type": "Error type",
    "judged": "Judged by users",
    "p50_seconds": "Median duration",
    "p95_seconds": "95 % take at most",
    "p99_seconds": "99 % take at most",
    "share": "Share",
    "solution_summary": "Solution",
    "total_estimate": "Total estimate",
    "with_both_costs": "With both",
}
"""Headings of columns that are not just their names with spaces."""


_ABSENT = {"resolved_at": "still open", "warning_limit": "none", "critical_limit": "none"}
"""Texts for missing values, where these mean something other than that there are no data."""


def period(time_range: TimeRange) -> str:
    """Name a range in words."""
    return _PERIODS[time_range]


def heading(column: str) -> str:
    """Return the heading of a column."""
    return _HEADINGS.get(column, column.replace("_", " ").capitalize())


def shown(column: str, value: Scalar, zone: str) -> str:
    """Format a value of a column with its unit; the name of the column tells which.

    Args:
        column: The name of the column.
        value: Its value, as JSON has it.
        zone: The time zone of instants.
    """
    if value is None:
        return _ABSENT.get(column, NO_DATA)
    if isinstance(value, str):
        if column.endswith(("_at", "_seen")):
            return moment(parse_instant(value), zone)
        if column == "time":
            return point(value)
        return value.replace("_", " ") if column == "verdict" else cut(value)
    if isinstance(value, int):
        return f"{value:,}"
    unit = column.rsplit("_", 1)[-1]
    if unit in ("rate", "share") or column == "share_of_cost":
        return percent(value)
    if unit == "seconds":
        return seconds(value)
    if unit == "dollar":
        return f"${value:,.2f}"
    if unit in ("cost", "estimate", "savings", "success"):
        return usd(value)
    if unit == "mb":
        return f"{value:,.0f} MB"
    return f"{value:.1f}" if unit in ("quality", "rating") else f"{value:,.3g}"


def executions(count: int) -> str:
    """Render a number of executions."""
    return f"{count:,} execution{'' if count == 1 else 's'}"


def percent(value: float) -> str:
    """Format a share of 0 to 1."""
    return f"{value:.1%}"


def usd(value: float) -> str:
    """Format money to a millionth; small sums have the places that tell them apart."""
    size = round(abs(value), 6)
    sign = "-" if value < 0 < size else ""
    if size == 0 or size >= 1:
        return f"{sign}${size:,.2f}"
    return f"{sign}${size:.4f}" if size >= 0.001 else f"{sign}${size:.6f}"


def seconds(value: float) -> str:
    """Format a duration in the unit that suits it."""
    size = abs(value)
    if size < 120:
        return f"{value:.1f} s"
    if size < 2 * 3600:
        return f"{value / 60:,.1f} min"
    return f"{value / 3600:,.1f} h"


def moment(instant: datetime, zone: str) -> str:
    """Format an instant to the minute, in a time zone that is named."""
    there = local(instant, zone)
    return f"{there:%Y-%m-%d %H:%M} {there.tzname()}"


def point(time: str) -> str:
    """Format a point of a series: a day, or an hour of one."""
    return time[:16].replace("T", " ")


def cut(text: str, longest: int = _LONGEST) -> str:
    """Put a text from the data on one line, without what controls or turns text, and cut it."""
    return plain(text[: 20 * longest], longest) or "(blank)"
