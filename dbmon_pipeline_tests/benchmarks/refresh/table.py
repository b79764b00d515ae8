"""The table: each row one thing measured, what it is measured against, and the ratio."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

HOLD_LIMIT_MS = 50.0
MEMORY_LIMIT_MB = 1000.0


@dataclass(frozen=True)
class Row:
    """One ratio.

    Attributes:
        what: What was measured.
        value: How much it was, in ``unit``; None if it could not be measured.
        unit: ``s``, ``ms``, ``MB``, ``bytes`` or ``rows``.
        against: What was measured beside it.
        base: How much that was.
        note: What else is to be said.
        goal: Under which name a goal knows it.
        history: Over how many executions, for a goal.
    """

    what: str
    value: float | None
    unit: str
    against: str
    base: float | None
    note: str = ""
    goal: str = ""
    history: int = 0

    @property
    def ratio(self) -> float | None:
        """The value as a multiple of what it is measured against."""
        return self.value / self.base if self.value is not None and self.base else None

    def as_json(self) -> dict[str, object]:
        """All of it, with the ratio."""
        return {**asdict(self), "ratio": self.ratio}


@dataclass(frozen=True)
class Goal:
    """What is hoped for.

    Attributes:
        text: In words.
        goal: Which rows it judges.
        most: The highest ratio that is allowed, if one is.
        least: The lowest one.
        history: It judges rows over so many executions, or over the least that are more.
    """

    text: str
    goal: str
    most: float | None = None
    least: float | None = None
    history: int = 0

    def judged(self, rows: Iterable[Row]) -> tuple[bool | None, str]:
        """Whether it is met by all of its rows, None without any; and the worst of them."""
        long_enough = [
            (row.ratio, row)
            for row in rows
            if row.goal == self.goal and row.ratio is not None and row.history >= self.history
        ]
        shortest = min((row.history for _, row in long_enough), default=0)
        found = [(ratio, row) for ratio, row in long_enough if row.history == shortest]
        if not found:
            return None, f"this run does not measure it{self._size}"
        pick = max if self.least is None else min
        ratio, row = pick(found, key=lambda pair: pair[0])
        is_met = (self.most is None or ratio <= self.most) and (
            self.least is None or ratio >= self.least
        )
        return is_met, f"{_ratio(ratio)} ({row.what}: {shown(row.value, row.unit)})"

    @property
    def _size(self) -> str:
        return f" over {short(self.history)} executions" if self.history else ""


GOALS = (
    Goal("a backfill of 10 M is at most 10 x the bare GROUP BY", "backfill", 10, None, 10_000_000),
    Goal("the next hour after 10 M is at most 1.2 x that after 1 M", "flat", 1.2, None, 10_000_000),
    Goal("and so it is after 50 M", "flat", 1.2, None, 50_000_000),
    Goal(
        "the next hour is at least 50 x faster than the full rebuild in pandas",
        *("rebuild in pandas", None, 50, 10_000_000),
    ),
    Goal(
        "and than our own, all tables and publishing included",
        "rebuild of ours",
        least=50,
        history=10_000_000,
    ),
    Goal(f"no refresh holds the source for over {HOLD_LIMIT_MS:.0f} ms at a time", "hold", 1),
    Goal("the peak memory of a refresh is under 1 GB", "memory", 1),
    Goal("a whole dbmon refresh of one new hour is at most 4 x import dagster", "whole", 4),
    Goal("what the rivals make equals ours, row for row", "equal", least=1),
)


def short(rows: int) -> str:
    """A number of executions, for people."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if rows >= size:
            return f"{rows / size:g} {letter}"
    return str(rows)


def shown(value: float | None, unit: str) -> str:
    """A figure with its unit."""
    if value is None:
        return "-"
    if unit == "s" and value < 1:
        value, unit = value * 1000, "ms"
    digits = 0 if unit == "rows" or value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}"


def lines(rows: Iterable[Row]) -> Iterator[str]:
    """The table in Markdown."""
    yield "| measured | | against | | ratio | |"
    yield "| --- | ---: | --- | ---: | ---: | --- |"
    for row in rows:
        cells = (
            *(row.what, shown(row.value, row.unit), row.against, shown(row.base, row.unit)),
            *("-" if row.ratio is None else _ratio(row.ratio), row.note),
        )
        yield f"| {' | '.join(cells)} |"


def _ratio(ratio: float) -> str:
    return f"{ratio:,.0f} x" if ratio >= 100 else f"{ratio:.{1 if ratio >= 10 else 2}f} x"
