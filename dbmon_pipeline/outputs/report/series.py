"""Figures over time: by the day of a time zone, or by the hour in a range of 24 hours or less."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

from dbmon_pipeline.core.common.instants import HOUR, hour_floor, local, parse_instant
from dbmon_pipeline.core.common.rows import Records, Scalar
from dbmon_pipeline.core.query.answers import Answer
from dbmon_pipeline.core.stats.bounds import wilson_bounds

_CONFIDENCE = 0.975


def over_time(hours: Answer, zone: str, *, by_hour: bool) -> Records:
    """Sum the answer to ``hourly_measures`` by points of time, the empty ones too.

    A day of a zone that is not whole hours from UTC begins with the next full hour of UTC.

    Args:
        hours: The answer.
        zone: The time zone of the points.
        by_hour: Whether a point is an hour, else a day.
    """
    points = {
        _point(hour, zone, by_hour=by_hour): defaultdict[str, float](float)
        for hour in _hours(hours.window_start, hours.window_end)
    }
    for row in hours.records:
        sums = points[_point(parse_instant(str(row["hour"])), zone, by_hour=by_hour)]
        for name, value in row.items():
            if isinstance(value, int | float):
                sums[name] += value
    return [_figures(point, sums) for point, sums in points.items()]


def _hours(start: datetime, end: datetime) -> Iterator[datetime]:
    hour = hour_floor(start)
    while hour < end:
        yield hour
        hour += HOUR


def _point(hour: datetime, zone: str, *, by_hour: bool) -> str:
    there = local(hour, zone)
    return there.isoformat() if by_hour else there.date().isoformat()


def _figures(point: str, sums: defaultdict[str, float]) -> dict[str, Scalar]:
    executions, successes = int(sums["executions"]), int(sums["successes"])
    rate = low = high = None
    if executions:
        rate = successes / executions
        low, high = wilson_bounds(rate, executions, _CONFIDENCE)
    return {
        "time": point,
        "executions": executions,
        "successes": successes,
        "success_rate": rate,
        "lowest_rate": low,
        "highest_rate": high,
        "avg_duration_seconds": _mean(sums, "duration"),
        "with_cost": int(sums["actual_cost_count"]),
        "total_cost": sums["actual_cost_sum"] if sums["actual_cost_count"] else None,
    }


def _mean(sums: defaultdict[str, float], measure: str) -> float | None:
    count = sums[f"{measure}_count"]
    return sums[f"{measure}_sum"] / count if count else None
