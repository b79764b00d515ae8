"""Past data as rules see it: the published data, as of one instant after another.

A replay looks at thousands of instants. So the cells are read once, and a measurement adds them up
in memory; its rows have the columns of its SELECT in ``sql/checks``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache, partial
from itertools import product

from dbmon_pipeline.core.alerting.verdicts import Alert
from dbmon_pipeline.core.common.errors import NotPublishedError
from dbmon_pipeline.core.common.instants import HOUR, hour_floor
from dbmon_pipeline.core.common.rows import Rows
from dbmon_pipeline.core.query.open_reader import describe
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.query.ranges import TimeRange, Window
from dbmon_pipeline.core.replay.past_cells import (
    OF_AN_HOUR,
    CellRange,
    Cells,
    read_hours,
    read_minutes,
)

_COLUMNS = ("scope", "value", "samples")


class Past:
    """Published data as of one instant after another, for :func:`evaluate`.

    It answers as a reader of the same generation does. Only where a measurement of the executions
    themselves looks back beyond those that are published it differs: ``cost_drift`` then comes from
    the hours, without a standard error, and ``slow_executions`` has no rows. A reader would take
    what is published of the window for all of it.

    Attributes:
        about: What the figures are about, at the instant that it speaks for.
        first: The first hour that has executions.
        rows_from: From when on the executions themselves are published.
    """

    def __init__(self, published: Published, since: datetime) -> None:
        """Read the hours of everything together; the other cells are read when they are needed.

        Args:
            published: The generation.
            since: Windows that are asked about begin then or later.

        Raises:
            NotPublishedError: A published file is damaged or gone, or there are no executions.
        """
        self.rows_from = published.manifest.recent_from
        self._published = published
        self._since = hour_floor(since)
        self._hours = cache(self._read_hours)
        self._minutes = cache(partial(read_minutes, published))
        self._measured: dict[tuple[object, ...], Rows] = {}
        self._hours_beyond_limit: set[datetime] = set()
        if not self._hours(None):
            raise NotPublishedError(
                "there are no executions in what is published",
                remedy="run dbmon refresh when the source has some",
            )
        self._all = self._hours(None)["all"]
        self.first = self._all.starts[0]
        self.about = describe(published, published.manifest.as_of)

    def speak_for(self, at: datetime) -> None:
        """Speak for an instant, a full minute, up to which everything had been read."""
        self._measured.clear()
        before = self._all.count("executions", self._all.within(datetime.min, hour_floor(at)))
        if not before and at > self.rows_from:
            before = self._count(Window(hour_floor(at), at, from_rows=True))
        self.about = replace(self.about, as_of=at, data_through=at, executions=before)

    def samples(self, time_range: TimeRange) -> int:
        """Count the executions of a range."""
        return self._count(self._published.window(time_range.length, self.about.as_of))

    def measure(
        self, name: str, length: timedelta, end: datetime, **values: str | float | None
    ) -> Rows:
        """Take a measurement over the window of a length that ends at an instant.

        Args:
            name: Its name in ``sql/checks``.
            length: How long the window is, full minutes.
            end: Where it ends, a full minute.
            values: ``by``, the dimension that has the scopes, and ``target_seconds``.

        Raises:
            NotPublishedError: A published file is damaged or gone.
        """
        window = self._published.window(length, end)
        target = float(values.get("target_seconds") or 0) if name == "slow_executions" else 0.0
        by = None if values.get("by") is None else str(values["by"])
        key = (name, window, end, by, target)
        if key not in self._measured:
            self._measured[key] = self._taken(*key)
        return self._measured[key]

    def hours_beyond_limit(self, start: datetime, end: datetime) -> frozenset[datetime]:
        """List the hours of a stretch in which a rule was beyond a limit, as far as remembered."""
        return frozenset(
            hour for hour in self._hours_beyond_limit if hour_floor(start) <= hour < end
        )

    def remember(self, alerts: Iterable[Alert]) -> None:
        """Remember whether a rule is beyond a limit, as the history of the checks does."""
        if any(alert.verdict.badness > 0 and alert.measured.window_start for alert in alerts):
            self._hours_beyond_limit.add(hour_floor(self.about.as_of - HOUR / 2))

    def begin(self, at: datetime) -> None:
        """Remember only the published history before an instant."""
        self._hours_beyond_limit = set(self._published.hours_beyond_limit(datetime.min, at))

    def _taken(
        self, name: str, window: Window, end: datetime, by: str | None, target: float
    ) -> Rows:
        match name:
            case "recent_executions":
                count = self._count(window)
                return Rows(_COLUMNS, [("all", float(count), count)])
            case "last_hour":
                hours = [cells.hour(part) for _, cells, part in self._parts(window, None, 0)]
                return Rows((*OF_AN_HOUR.values(),), hours or [(0,) * len(OF_AN_HOUR)])
            case "hours_alike":
                alike = [
                    (at, *self._all.hour(part)) for at, part in sorted(self._alike(window, end))
                ]
                return Rows(("hour", *OF_AN_HOUR.values()), alike)
            case "usual_executions":
                counts = [
                    self._all.count("executions", part) for _, part in self._alike(window, end)
                ]
                return Rows(("mean", "variance", "hours"), [_moments(counts)])
        has_error = name == "cost_drift" and window.from_rows
        rows = (
            _measured(name, cells, part, is_of_rows=window.from_rows, scope=scope)
            for scope, cells, part in self._parts(window, by, target)
        )
        columns = (*_COLUMNS, "standard_error") if has_error else _COLUMNS
        return Rows(columns, [row for row in rows if row])

    def _parts(
        self, window: Window, by: str | None, target: float
    ) -> Iterator[tuple[str, Cells, CellRange]]:
        """List the cells of each scope that has executions in a window."""
        cells_of = self._minutes(by, target) if window.from_rows else self._hours(by)
        for scope, cells in cells_of.items():
            part = cells.within(window.start, window.end)
            if part[0] < part[1]:
                yield scope, cells, part

    def _count(self, window: Window) -> int:
        parts = self._parts(window, None, 0)
        return sum(cells.count("executions", part) for _, cells, part in parts)

    def _alike(self, window: Window, end: datetime) -> Iterator[tuple[datetime, CellRange]]:
        """List the hours like the last one before an instant: see the macro ``hours_alike``."""
        first, after = self._all.within(window.start, window.end)
        if first == after:
            return
        first_hour, last_hour = self._all.starts[first], hour_floor(end - HOUR / 2)
        for weeks, shift in product(range(1, 9), (-1, 0, 1)):
            hour = last_hour - timedelta(weeks=weeks) + shift * HOUR
            if hour >= first_hour:
                yield hour, self._all.within(hour, hour + HOUR)

    def _read_hours(self, by: str | None) -> Mapping[str, Cells]:
        # Whether anything was executed before, and the hours of earlier weeks: from everything.
        return read_hours(self._published, by, datetime.min if by is None else self._since)


def _measured(
    name: str, cells: Cells, part: CellRange, *, is_of_rows: bool, scope: str
) -> tuple[object, ...] | None:
    """Make the row of a scope that has executions; None if the measurement has none of it."""
    executions = cells.count("executions", part)
    match name:
        case "success_rate":
            return scope, cells.count("successes", part) / executions, executions
        case "error_rate":
            return scope, cells.count("errors", part) / executions, executions
        case "cost_budget":
            return scope, cells.amount("cost", part), executions
        case "slow_executions" if is_of_rows:
            known = cells.count("durations", part)
            return scope, _ratio(cells.count("slow", part), known), known
        case "cost_drift" if known := cells.count("both_costs", part):
            value = _ratio(cells.amount("actual", part), cells.amount("estimate", part))
            error = (_standard_error(cells, part, value),) if is_of_rows else ()
            return scope, value, known, *error
    return None


def _moments(counts: Sequence[int]) -> tuple[float | None, float, int]:
    """Compute the mean and the variance of counts, and how many there are."""
    if not counts:
        return None, 0.0, 0
    mean = sum(counts) / len(counts)
    squares = math.fsum((count - mean) ** 2 for count in counts)
    return mean, squares / max(len(counts) - 1, 1), len(counts)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _standard_error(cells: Cells, part: CellRange, value: float | None) -> float | None:
    """Compute the standard error of the ratio of costs, as ``sql/checks/cost_drift.sql`` does."""
    if value is None:
        return None
    squares = (
        cells.amount("actual_squares", part)
        - 2 * value * cells.amount("products", part)
        + value * value * cells.amount("estimate_squares", part)
    )
    return _ratio(math.sqrt(max(squares, 0)), cells.amount("estimate", part))
