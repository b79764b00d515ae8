"""Sources whose histories differ in length alone: each is the end of the longest one."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from dbmon_pipeline_tests.benchmarks.refresh import work
from dbmon_pipeline_tests.benchmarks.refresh.processes import DBMON, call, run

END = datetime(2026, 11, 20, 12)
"""Noon of a working day: half of the day that the next hour belongs to is there already."""

Figures = dict[str, float]


@dataclass
class History:
    """One source, a home beside it, and what refreshing that costs.

    Attributes:
        rows: How many executions it began with.
        folder: Where both lie.
        first: What the first refresh cost.
        grouped: What the bare GROUP BY did.
        hours: What each later hour cost.
    """

    rows: int
    folder: Path
    first: Figures = field(default_factory=dict)
    grouped: Figures = field(default_factory=dict)
    hours: list[Figures] = field(default_factory=list)

    @property
    def source(self) -> Path:
        """The orchestrator's database."""
        return self.folder / "learning.db"

    @property
    def home(self) -> Path:
        """The home that the work inside a refresh is measured in."""
        return self.folder / "home"

    def refresh(self, as_of: datetime) -> Figures:
        """Refresh the home in a process of its own."""
        figures: Figures = call(work.__name__, "refresh", self.source, self.home, as_of)
        return figures

    def grow(self, until: datetime) -> None:
        """Let the owner add an hour after this instant."""
        call(work.__name__, "next-hour", self.source, until)

    def middle(self, figure: str) -> float:
        """The median of a figure over the later hours."""
        return statistics.median(hour[figure] for hour in self.hours)


def make_histories(folder: Path, sizes: Sequence[int], per_day: int) -> list[History]:
    """Make sources of so many executions, the shortest first."""
    *shorter, longest = (History(size, folder / str(size)) for size in sorted(set(sizes)))
    days = math.ceil(longest.rows / per_day)
    size = ("--rows", longest.rows, "--days", days, "--end", END.isoformat())
    run(DBMON, "sample", longest.source, *size)
    for history in shorter:
        call(work.__name__, "cut", longest.source, history.source, history.rows)
    return [*shorter, longest]
