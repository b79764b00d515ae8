"""Ranges of time that people ask about, and the windows that they become."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from dbmon_pipeline.core.common.errors import QuestionError
from dbmon_pipeline.core.common.instants import DAY, day_start, hour_floor

Part = tuple[datetime, datetime]
"""A stretch of time ``[start, end)``, naive UTC."""

LONGEST_TO_THE_SECOND = DAY
"""A longer window begins on a full hour."""
_LONGEST_BY_HOUR = timedelta(hours=48)
"""A longer window has whole days; ``sql/macros/scalars.sql`` says the same."""


class TimeRange(StrEnum):
    """Time range that a question looks back over."""

    HOUR = "1h"
    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"
    QUARTER = "90d"

    @property
    def length(self) -> timedelta:
        """The length of the range."""
        number, unit = int(self[:-1]), self[-1]
        return timedelta(hours=number) if unit == "h" else timedelta(days=number)

    @property
    def is_to_the_second(self) -> bool:
        """True if the range is answered from rows; a longer one is answered from full hours."""
        return self.length <= LONGEST_TO_THE_SECOND


def parse_range(text: str) -> TimeRange:
    """Parse the name of a range.

    Raises:
        QuestionError: There is none; the message names those there are.
    """
    try:
        return TimeRange(text)
    except ValueError:
        raise QuestionError(
            f"there is no range {text[:100]!r}", remedy=f"the ranges are {', '.join(TimeRange)}"
        ) from None


@dataclass(frozen=True)
class Window:
    """Stretch of time ``[start, end)``, naive UTC.

    Attributes:
        start: Its beginning.
        end: Its end, not included.
        from_rows: Whether figures are made from the executions themselves, to the second, rather
            than from the summary tables.
    """

    start: datetime
    end: datetime
    from_rows: bool = False

    @property
    def whole_days(self) -> Part:
        """The days in it that are read from daily tables; empty at its end if it is short."""
        if self.end - self.start <= _LONGEST_BY_HOUR:
            return self.end, self.end
        first = day_start((self.start + DAY - timedelta.resolution).date())
        return first, day_start(self.end.date())

    @property
    def edges(self) -> tuple[Part, ...]:
        """The parts before and after its whole days, from full hours on; perhaps none."""
        first, last = self.whole_days
        sides = ((hour_floor(self.start), first), (last, self.end))
        return tuple(side for side in sides if side[0] < side[1])
