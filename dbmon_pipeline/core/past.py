"""The past as rules see it: what is published of it, as of one instant after another.

A replay looks at thousands of instants. So the cells are read once, and a measurement adds them up
in memory; its rows have the columns of its SELECT in ``sql/checks``.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from itertools import product
from pathlib import Path

from dbmon_pipeline.core.errors import NotPublishedError
from dbmon_pipeline.core.instants import DAY, HOUR, hour_floor
from dbmon_pipeline.core.published import Published
from dbmon_pipeline.core.queries import About
from dbmon_pipeline.core.ranges import TimeRange, Window
from dbmon_pipeline.core.rollups import BY_NAME
from dbmon_pipeline.core.rows import Rows

_ROWS = "recent_executions"
_OF_TOTALS = (None, "model_tier", "pool_type")
"""The dimensions that the much smaller ``hourly_totals`` have."""

_COUNTS = ("executions", "successes", "errors", "both_costs", "durations", "slow")
_AMOUNTS = ("cost", "actual", "estimate", "actual_squares", "products", "estimate_squares")
_COLUMNS = ("scope", "value", "samples")

_HOURS = """
    SELECT
        hour,
        {scope} AS scope,
        CAST(sum(executions) AS BIGINT),
        CAST(sum(successes) AS BIGINT),
        CAST(sum(errors) AS BIGINT),
        CAST(sum(both_costs_count) AS BIGINT),
        0,
        0,
        coalesce(sum(actual_cost_sum), 0),
        coalesce(sum(both_costs_actual_sum), 0),
        coalesce(sum(both_costs_estimate_sum), 0),
        0,
        0,
        0
    FROM read_parquet($files)
    WHERE hour >= $since
    GROUP BY ALL
    ORDER BY hour
"""
_MINUTES = """
    WITH known AS (
        SELECT
            date_trunc('minute', timestamp) AS minute,
            {scope} AS scope,
            success,
            error_type,
            duration_seconds,
            actual_cost,
            CASE WHEN cost_estimate IS NOT NULL THEN actual_cost END AS actual,
            CASE WHEN actual_cost IS NOT NULL THEN cost_estimate END AS estimate
        FROM read_parquet($files)
    )
    SELECT
        minute,
        scope,
        count(*),
        count(*) FILTER (WHERE success),
        count(error_type),
        count(actual),
        count(duration_seconds),
        count(*) FILTER (WHERE duration_seconds > $target_seconds),
        coalesce(sum(actual_cost), 0),
        coalesce(sum(actual), 0),
        coalesce(sum(estimate), 0),
        coalesce(sum(actual * actual), 0),
        coalesce(sum(actual * estimate), 0),
        coalesce(sum(estimate * estimate), 0)
    FROM known
    GROUP BY ALL
    ORDER BY minute
"""


class _Cells:
    """The cells of one scope, in the order of time.

    Attributes:
        starts: When each begins.
    """

    def __init__(self) -> None:
        self.starts: list[datetime] = []
        self._sums: dict[str, list[int]] = {name: [0] for name in _COUNTS}
        self._amounts: dict[str, list[float]] = {name: [] for name in _AMOUNTS}

    def add(self, start: datetime, values: tuple[float, ...]) -> None:
        """Add the next cell."""
        self.starts.append(start)
        for (_, sums), value in zip(self._sums.items(), values, strict=False):
            sums.append(sums[-1] + int(value))
        for amounts, value in zip(self._amounts.values(), values[len(_COUNTS) :], strict=True):
            amounts.append(value)

    def within(self, since: datetime, until: datetime) -> slice:
        """Those that begin in ``[since, until)``."""
        return slice(bisect_left(self.starts, since), bisect_left(self.starts, until))

    def count(self, name: str, part: slice) -> int:
        """How many executions of a kind some cells have."""
        sums = self._sums[name]
        return sums[part.stop] - sums[part.start]

    def amount(self, name: str, part: slice) -> float:
        """A sum over some cells; added up anew, so that a sum of nothing but zeros is zero."""
        return math.fsum(self._amounts[name][part])


class Past:
    """Published data as of one instant after another, for :func:`evaluate`.

    It answers as a reader of the same generation does. Only where a measurement of the executions
    themselves looks back beyond those that are published it differs: ``cost_drift`` then comes from
    the hours, without a standard error, and ``slow_executions`` has no rows; a reader would take the
    rest of the window for all of it.

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
        manifest = published.manifest
        self.rows_from = manifest.as_of - (BY_NAME[_ROWS].window or timedelta())
        self._published = published
        self._since = hour_floor(since)
        self._hours = cache(self._read_hours)
        self._minutes = cache(self._read_minutes)
        self._measured: dict[tuple[object, ...], Rows] = {}
        if not self._hours(None):
            raise NotPublishedError(
                "there are no executions in what is published",
                remedy="run dbmon refresh when the source has some",
            )
        self._all = self._hours(None)["all"]
        self.first = self._all.starts[0]
        self.about = About(
            path=Path(str(manifest.source.get("path", ""))),
            as_of=manifest.as_of,
            data_through=manifest.data_through,
            published_at=manifest.published_at,
            executions=manifest.executions,
            schema_version=manifest.schema_version,
            source_bytes=0,
        )

    def speak_for(self, at: datetime) -> None:
        """Speak for an instant, a full minute, up to which everything had been read."""
        self._measured.clear()
        before = self._all.count("executions", self._all.within(datetime.min, hour_floor(at)))
        if not before and at > self.rows_from:
            before = self._count(Window(hour_floor(at), at, from_rows=True))
        self.about = replace(self.about, as_of=at, data_through=at, executions=before)

    def samples(self, time_range: TimeRange) -> int:
        """How many executions a range has."""
        to_the_second = time_range.is_to_the_second
        return self._count(self._window(time_range.length, self.about.as_of, to_the_second))

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
        window = self._window(length, end, length <= DAY)
        target = float(values.get("target_seconds") or 0) if name == "slow_executions" else 0.0
        key = (name, window, values.get("by"), target)
        if key not in self._measured:
            self._measured[key] = self._taken(name, window, values.get("by"), target)
        return self._measured[key]

    def _window(self, length: timedelta, end: datetime, to_the_second: bool) -> Window:
        return self._published.window(length, end, to_the_second=to_the_second)

    def _taken(self, name: str, window: Window, by: str | float | None, target: float) -> Rows:
        if name == "usual_executions":
            return Rows(("mean", "variance", "hours"), [self._usual(window)])
        if name == "recent_executions":
            count = self._count(window)
            return Rows(_COLUMNS, [("all", float(count), count)])
        rows: list[tuple[object, ...]] = []
        for scope, cells, part in self._parts(window, None if by is None else str(by), target):
            executions = cells.count("executions", part)
            match name:
                case "success_rate" | "error_rate":
                    kind = "successes" if name == "success_rate" else "errors"
                    rows.append((scope, cells.count(kind, part) / executions, executions))
                case "slow_executions" if window.from_rows:
                    known = cells.count("durations", part)
                    rows.append((scope, _ratio(cells.count("slow", part), known), known))
                case "cost_budget":
                    rows.append((scope, cells.amount("cost", part), executions))
                case "cost_drift" if known := cells.count("both_costs", part):
                    value = _ratio(cells.amount("actual", part), cells.amount("estimate", part))
                    error = (_standard_error(cells, part, value),) if window.from_rows else ()
                    rows.append((scope, value, known, *error))
        has_error = name == "cost_drift" and window.from_rows
        return Rows((*_COLUMNS, *(("standard_error",) if has_error else ())), rows)

    def _parts(
        self, window: Window, by: str | None, target: float
    ) -> Iterator[tuple[str, _Cells, slice]]:
        """The cells of each scope that has executions in a window."""
        found = self._minutes(by, target) if window.from_rows else self._hours(by)
        for scope, cells in found.items():
            part = cells.within(window.start, window.end)
            if part.start < part.stop:
                yield scope, cells, part

    def _count(self, window: Window) -> int:
        return sum(cells.count("executions", part) for _, cells, part in self._parts(window, None, 0))

    def _usual(self, window: Window) -> tuple[object, ...]:
        """How many executions an hour like the last one has: mean, variance, from how many hours."""
        seen = self._all.within(window.start, window.end)
        if seen.start == seen.stop:
            return None, 0.0, 0
        last, first = hour_floor(window.end - HOUR / 2), self._all.starts[seen.start]
        counts = [
            self._all.count("executions", self._all.within(hour, hour + HOUR))
            for weeks, shift in product(range(1, 9), (-1, 0, 1))
            if (hour := last - timedelta(weeks=weeks) + shift * HOUR) >= first
        ]
        if not counts:
            return None, 0.0, 0
        mean = sum(counts) / len(counts)
        squares = math.fsum((count - mean) ** 2 for count in counts)
        return mean, squares / max(len(counts) - 1, 1), len(counts)

    def _read_hours(self, by: str | None) -> Mapping[str, _Cells]:
        table = "hourly_totals" if by in _OF_TOTALS else "hourly_summary"
        # Whether anything was executed before, and the hours of earlier weeks: from everything.
        since = datetime.min if by is None else self._since
        return self._read(table, _HOURS, by, since=since)

    def _read_minutes(self, by: str | None, target_seconds: float) -> Mapping[str, _Cells]:
        return self._read(_ROWS, _MINUTES, by, target_seconds=target_seconds)

    def _read(
        self, table: str, select: str, by: str | None, **values: object
    ) -> Mapping[str, _Cells]:
        files = [str(file) for file in self._published.files(table)]
        with self._published.told(table):
            found = self._published.con.cursor().execute(
                select.format(scope="'all'" if by is None else by), {"files": files, **values}
            )
            rows = found.fetchall()
        cells: dict[str, _Cells] = {}
        for start, scope, *measures in rows:
            cells.setdefault(scope, _Cells()).add(start, tuple(measures))
        return cells


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _standard_error(cells: _Cells, part: slice, value: float | None) -> float | None:
    """That of the ratio of costs, as ``sql/checks/cost_drift.sql`` has it."""
    if value is None:
        return None
    squares = (
        cells.amount("actual_squares", part)
        - 2 * value * cells.amount("products", part)
        + value * value * cells.amount("estimate_squares", part)
    )
    return _ratio(math.sqrt(max(squares, 0)), cells.amount("estimate", part))
