"""The table: each row one thing measured, what it is measured against, and the ratio."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

MEMORY_LIMIT_MB = 1000.0
PUBLISHED_BYTES, PUBLISHED_BYTES_UNIQUE = 12.0, 25.0
DEV_CPU_SECONDS, DEV_SECONDS = 40.0, 600.0
MOST_AGE_SECONDS = 120.0


@dataclass(frozen=True)
class Row:
    """One ratio.

    Attributes:
        what: What was measured.
        value: How much it was, in ``unit``; None if it could not be measured.
        unit: ``s``, ``ms``, ``MB``, ``bytes``, ``rows`` or ``writes``.
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
    """The ratio that some rows should have.

    Attributes:
        text: The goal in words.
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
        """Tell whether all of its rows meet it, None without any; and the worst of them."""
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


_M = 1_000_000
GOALS = (
    Goal("the first refresh of 10 M is at most 10 x one bare GROUP BY", "first", 10, None, 10 * _M),
    Goal("and at most 6 x dbt-duckdb's five tables", "first beside dbt", 6, None, 10 * _M),
    Goal("the next hour is at most 0.25 x that GROUP BY", "hour", 0.25, None, 10 * _M),
    Goal("and at most 1.3 x dbt-duckdb's", "hour beside dbt", 1.3, None, 10 * _M),
    Goal("the next hour after 10 M is at most 1.1 x that after 1 M", "flat", 1.1, None, 10 * _M),
    Goal("and after 50 M at most 1.2 x", "flat", 1.2, None, 50 * _M),
    Goal("no write of an owner fails beside refreshes", "owner", 0),
    Goal("sparse history costs at most 1.5 x the same in one day", "sparse", 1.5),
    Goal("all processes of a refresh together take under 1 GB", "memory", 1),
    Goal("12 bytes are published per execution at most", "bytes", 1, None, 10 * _M),
    Goal("and 25 where each text is unique", "bytes of unique texts", 1, None, 10 * _M),
    Goal("there is no other copy", "copies", 1.2, None, 10 * _M),
    Goal("a whole dbmon refresh of one new hour is at most 4 x import dagster", "whole", 4),
    Goal("dbmon status is at most 2.5 x its imports", "status", 2.5),
    Goal("dbmon dev takes 40 CPU seconds in ten minutes with an execution every 36 s", "dev", 1),
    Goal("and its figures are two minutes old at most", "age", 1),
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
    digits = 0 if unit in ("rows", "writes") or value >= 100 else 1 if value >= 10 else 2
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
