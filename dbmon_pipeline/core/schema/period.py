"""Periods: the stretch of time that one published file holds, written as its name.

``2025`` is a year, ``2025-06`` a month, ``2025-06-11`` a day, ``2025-06-11T08`` an hour.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime

from dbmon_pipeline.core.common.instants import DAY, HOUR, day_start

WINDOW = "window"
"""The name of the only file of a table of the last so much time."""
EMPTY = "empty"
"""The name of the only file of a table without rows."""


def bounds(period: str) -> tuple[datetime, datetime]:
    """Tell the stretch ``[start, end)`` of a period, naive UTC.

    Raises:
        ValueError: It is no period.
    """
    match period.count("-"), "T" in period:
        case 0, False:
            first = datetime(int(period), 1, 1)  # noqa: DTZ001 - naive means UTC here
            return first, first.replace(year=first.year + 1)
        case 1, False:
            first = day_start(date.fromisoformat(f"{period}-01"))
            return first, (first + 31 * DAY).replace(day=1)
        case 2, False:
            first = day_start(date.fromisoformat(period))
            return first, first + DAY
        case _:
            first = datetime.fromisoformat(f"{period}:00")
            return first, first + HOUR


def period_of(day: date, as_of: date, small_years: Collection[int]) -> str:
    """Name the period whose file holds a day.

    Days of the open month have a file each, closed months one, closed years with few rows one.

    Args:
        day: The day.
        as_of: The day that a refresh speaks for.
        small_years: The years that have few rows.
    """
    if (day.year, day.month) >= (as_of.year, as_of.month):
        return day.isoformat()
    if day.year < as_of.year and day.year in small_years:
        return f"{day.year:04}"
    return f"{day:%Y-%m}"


def hour_period(hour: datetime) -> str:
    """Name the period of an hour."""
    return f"{hour:%Y-%m-%dT%H}"
