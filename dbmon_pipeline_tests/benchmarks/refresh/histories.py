"""Sources whose histories differ in length alone: each is the end of the longest one."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from dbmon_pipeline_tests.benchmarks.refresh import sources, work
from dbmon_pipeline_tests.benchmarks.refresh.processes import DBMON, call, call_measured, run
from dbmon_pipeline_tests.benchmarks.refresh.sources import END

Figures = dict[str, float]


@dataclass
class History:
    """One source, a home beside it, and what refreshing that costs.

    Attributes:
        rows: How many executions it began with.
        folder: Where both lie.
        texts: What is special about its texts, if anything is.
        grouped: What the bare GROUP BY took, in seconds: before the first refresh, and each hour.
        first: What the first refresh cost.
        hours: What each later hour cost.
    """

    rows: int
    folder: Path
    texts: str = ""
    grouped: list[float] = field(default_factory=list)
    first: Figures = field(default_factory=dict)
    hours: list[Figures] = field(default_factory=list)

    @property
    def source(self) -> Path:
        """The orchestrator's database."""
        return self.folder / "learning.db"

    @property
    def home(self) -> Path:
        """The home that the work inside a refresh is measured in."""
        return self.folder / "home"

    def group(self) -> None:
        """Time the bare GROUP BY."""
        self.grouped.append(call(work.__name__, "group-by", self.source))

    def begin(self, as_of: datetime) -> None:
        """Refresh the home for the first time."""
        self.group()
        self.first = self._refresh(as_of)

    def add_hour(self, as_of: datetime, until: datetime) -> None:
        """Let the owner add an hour after ``until``, and refresh."""
        call(sources.__name__, "add-hour", self.source, until)
        self.group()
        self.hours.append(self._refresh(as_of))

    def median(self, figure: str) -> float:
        """Compute the median of a figure over the later hours."""
        return statistics.median(hour[figure] for hour in self.hours)

    @property
    def grouped_beside_hours(self) -> float:
        """The median seconds of the bare GROUP BY beside the later hours."""
        return statistics.median(self.grouped[1:])

    def _refresh(self, as_of: datetime) -> Figures:
        """Refresh the home in a process of its own."""
        ran, figures = call_measured(work.__name__, "refresh", self.source, self.home, as_of)
        return {**figures, "peak_mb": ran.peak_mb}


def make_histories(folder: Path, sizes: Sequence[int], per_day: int) -> list[History]:
    """Make sources of so many executions, the shortest first."""
    *shorter, longest = (History(size, folder / str(size)) for size in sorted(set(sizes)))
    days = math.ceil(longest.rows / per_day)
    size = ("--rows", longest.rows, "--days", days, "--end", END.isoformat())
    run(DBMON, "sample", longest.source, *size)
    for history in shorter:
        call(sources.__name__, "cut", history.source, longest.source, history.rows)
    return [*shorter, longest]


def with_texts(history: History, kind: str) -> History:
    """Make a source of the rows of another one, with ``unique`` or ``long`` texts.

    Each text is unique in both; long ones have 500 characters.
    """
    other = History(history.rows, history.folder.with_name(f"{history.rows}-{kind}"), kind)
    call(sources.__name__, f"{kind}-texts", other.source, history.source)
    return other
