"""The figures of one period, by stretches of 24 hours (of an hour, if it is short)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dbmon_pipeline.core.common.instants import DAY, HOUR, hour_floor, parse_instant
from dbmon_pipeline.core.common.rows import Scalar
from dbmon_pipeline.core.query.answers import Answer
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.core.query.reader import Reader


@dataclass(frozen=True)
class Block:
    """Stretch of 24 hours of a period, or an hour of a short one.

    Attributes:
        length: How much of it was seen.
        sums: The measures of its executions.
    """

    length: timedelta
    sums: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))


@dataclass(frozen=True)
class Period:
    """The figures of one period.

    Attributes:
        figures: The answer to ``key_figures``.
        hours: The answer to ``hourly_measures``.
        step: How long a block of it is.
        seen_from: From when on executions are known.
    """

    figures: Answer
    hours: Answer
    step: timedelta
    seen_from: datetime

    @classmethod
    def read(cls, reader: Reader, time_range: TimeRange, others: int = 0) -> Period:
        """Ask for the figures of the period that ends as of now.

        Args:
            reader: Speaks for its end.
            time_range: How long it is.
            others: Executions known of after it: if there are no more, history begins in it.
        """
        figures = reader.ask("key_figures", time_range)
        hours = reader.ask("hourly_measures", time_range)
        start = figures.window_start
        if reader.about.executions <= figures.samples + others:
            first = parse_instant(str(hours.records[0]["hour"])) if hours.rows else None
            start = max(start, first or figures.window_end)
        step = HOUR if time_range.is_to_the_second else DAY
        return cls(figures, hours, step, start)

    @property
    def totals(self) -> Mapping[str, Scalar]:
        """The key figures."""
        return self.figures.records[0]

    @property
    def seen_until(self) -> datetime:
        """Up to when executions are known."""
        through = self.figures.data_through or self.figures.window_end
        return max(self.seen_from, min(self.figures.window_end, through))

    @property
    def days(self) -> float:
        """The number of its days that were seen."""
        return (self.seen_until - self.seen_from) / DAY

    def known(self, measure: str) -> int:
        """Return how many executions a count of ``hourly_measures`` counts in all."""
        return sum(int(row[measure] or 0) for row in self.hours.records)

    def blocks(self) -> list[Block]:
        """List the days of the period (or hours) of which at least half was seen."""
        first = hour_floor(self.seen_from)
        blocks = []
        while first < self.seen_until:
            length = min(first + self.step, self.seen_until) - max(first, self.seen_from)
            blocks.append(Block(length))
            first += self.step
        for row in self.hours.records:
            place = (parse_instant(str(row["hour"])) - hour_floor(self.seen_from)) // self.step
            if place < len(blocks):
                for name, value in row.items():
                    if isinstance(value, int | float):
                        blocks[place].sums[name] += value
        return [block for block in blocks if block.length >= self.step / 2]
