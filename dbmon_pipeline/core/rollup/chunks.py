"""Chunks: runs of days, or hours of one large day, that are read and rolled up together.

A chunk is bounded by rows and by bytes, since it is held in memory. Long texts make rows large; how
large is learned from the chunks before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from dbmon_pipeline.core.common.instants import DAY, HOUR, day_start

MOST_ROWS = 400_000
_FIRST_ROWS = 250_000
_MOST_BYTES = 120_000_000
_MOST_STRETCHES = 40
"""Most runs of days in a chunk; each is a condition that every row is held to."""


@dataclass(frozen=True)
class Chunk:
    """Rows that are read together.

    Attributes:
        stretches: The stretches ``[start, end)`` of time, in ascending order.
        days: The days that they belong to.
        is_last_of_day: Whether all hours of these days have been read with it.
        is_part_of_day: Whether it is a part of one day.
        rows: How many rows the source had in it when it was looked over.
    """

    stretches: tuple[tuple[datetime, datetime], ...]
    days: tuple[date, ...]
    rows: int
    is_part_of_day: bool = False
    is_last_of_day: bool = True

    @property
    def start(self) -> datetime:
        """The beginning of its first stretch."""
        return self.stretches[0][0]

    @property
    def end(self) -> datetime:
        """The end of its last stretch."""
        return self.stretches[-1][1]

    def covers(self, instant: datetime) -> bool:
        """Tell whether an instant lies in it."""
        return any(start <= instant < end for start, end in self.stretches)


class ChunkSize:
    """Row limit of a chunk, adapted to the size of the rows read before."""

    def __init__(self, most_rows: int = MOST_ROWS) -> None:
        """Begin with fewer rows, since nothing is known of their size."""
        self._most_rows = most_rows
        self.rows = min(_FIRST_ROWS, most_rows)

    def learn(self, rows: int, text_bytes: int) -> None:
        """Size the next chunk by the free texts of one that was read."""
        if rows:
            per_row = 150 + text_bytes / rows
            self.rows = min(self._most_rows, max(10_000, int(_MOST_BYTES / per_row)))


def cut_into_chunks(
    days: Mapping[date, Mapping[datetime, int]], size: ChunkSize, *, over_gaps: bool
) -> Iterator[Chunk]:
    """Cut days into chunks.

    Args:
        days: The days in ascending order, with the rows of each of their hours.
        size: How large the next chunk may be; asked anew for each.
        over_gaps: Whether days between that are not among them have no rows, so that a stretch may
            go on over them.

    Yields:
        Chunks in ascending order of time.
    """
    waiting: list[date] = []
    rows = 0
    for day, hours in days.items():
        count = sum(hours.values())
        is_full = rows + count > size.rows or _stretches(waiting, day, over_gaps) > _MOST_STRETCHES
        if waiting and is_full:
            yield _of_days(waiting, rows, over_gaps)
            waiting, rows = [], 0
        if count > size.rows:
            yield from _of_hours(day, hours, size)
        else:
            waiting.append(day)
            rows += count
    if waiting:
        yield _of_days(waiting, rows, over_gaps)


def _stretches(days: list[date], day: date, over_gaps: bool) -> int:
    if over_gaps or not days:
        return 1
    return 1 + sum(
        later - earlier > DAY for earlier, later in zip(days, [*days[1:], day], strict=True)
    )


def _of_days(days: list[date], rows: int, over_gaps: bool) -> Chunk:
    stretches: list[tuple[datetime, datetime]] = []
    for day in days:
        start, end = day_start(day), day_start(day) + DAY
        if stretches and (over_gaps or stretches[-1][1] == start):
            stretches[-1] = (stretches[-1][0], end)
        else:
            stretches.append((start, end))
    return Chunk(tuple(stretches), tuple(days), rows)


def _of_hours(day: date, hours: Mapping[datetime, int], size: ChunkSize) -> Iterator[Chunk]:
    """Cut one large day at full hours; together the chunks are all of the day."""
    start, rows = day_start(day), 0
    ends: list[tuple[datetime, datetime, int]] = []
    for hour in sorted(hours):
        if rows and rows + hours[hour] > size.rows:
            ends.append((start, hour, rows))
            start, rows = hour, 0
        rows += hours[hour]
    ends.append((start, day_start(day) + 24 * HOUR, rows))
    for number, (first, last, count) in enumerate(ends, start=1):
        yield Chunk(((first, last),), (day,), count, len(ends) > 1, number == len(ends))
