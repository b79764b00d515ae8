"""Read layer: questions in, answers out, the same ones for every face.

A reader speaks for one instant and one generation, or for one database that is looked into
directly. No answer waits for a lock of the pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime, timedelta
from typing import Protocol

from dbmon_pipeline.core.common.rows import Rows
from dbmon_pipeline.core.common.shipped import sql
from dbmon_pipeline.core.query.answers import Answer, ReaderInfo
from dbmon_pipeline.core.query.questions import FILTERS, question
from dbmon_pipeline.core.query.ranges import TimeRange, Window

_FILTERED = """
    ($model_tier IS NULL OR model_tier = $model_tier)
    AND ($pool_type IS NULL OR pool_type = $pool_type)
"""
_SAMPLES = """
    SELECT coalesce(total(executions), 0)
    FROM executions_between($since, $until, $model_tier, $pool_type, $repo, $task_type)
"""
_SAMPLES_OF_HOURS = f"""
    SELECT coalesce(total(executions), 0)
    FROM hour_cells($since, $until)
    WHERE {_FILTERED}
"""
_SAMPLES_OF_ROWS = f"""
    SELECT count(*)
    FROM recent_executions
    WHERE
        timestamp >= $since AND timestamp < $until AND {_FILTERED}
        AND ($repo IS NULL OR repo = $repo)
        AND ($task_type IS NULL OR task_type = $task_type)
"""


class Prepared(Protocol):
    """Tables of one window, ready to be asked."""

    def rows(self, select: str, values: Mapping[str, object]) -> Rows:
        """Run a statement, and fetch its rows."""


class Data(Protocol):
    """Data behind a reader: a published generation, or a database."""

    def window(self, length: timedelta, end: datetime) -> Window:
        """Return the window of a length that ends at an instant.

        Up to 24 hours it is to the second if the data has its executions, else it has full hours.
        """

    def rows_window(self, length: timedelta, end: datetime) -> Window:
        """Return as much of the window of a length as the data has executions of."""

    def workspace(self, window: Window) -> AbstractContextManager[Prepared]:
        """Prepare the tables of a window."""

    def hours_beyond_limit(self, start: datetime, end: datetime) -> frozenset[datetime]:
        """List the hours of a stretch in which a rule was beyond a limit."""


class Reader:
    """Reader that answers as of one instant; for one thread, and only inside of its context.

    Attributes:
        about: What the figures are about.
    """

    def __init__(self, data: Data, about: ReaderInfo) -> None:
        """Speak for some data; ``core/query/open_reader.py`` says for which."""
        self.about = about
        self._data = data
        self._workspaces: dict[Window, Prepared] = {}
        self._open = ExitStack()

    def close(self) -> None:
        """Let go of what was prepared for the windows that were asked about."""
        self._open.close()

    def ask(
        self, name: str, time_range: TimeRange = TimeRange.WEEK, **filters: str | None
    ) -> Answer:
        """Answer a question of the catalogue.

        Args:
            name: Its name.
            time_range: How far back it looks, unless it always looks as far.
            filters: Values that the columns ``model_tier``, ``pool_type``, ``repo`` and
                ``task_type`` must have.

        Raises:
            QuestionError: There is no such question, or it lacks a filter.
            NotPublishedError: A published file is damaged or gone.
            SourceError: The database cannot be read.
        """
        asked = question(name)
        asked.check_filters(filters)
        window = (
            self._data.rows_window(asked.fixed_range, self.about.as_of)
            if asked.fixed_range
            else self.window(time_range)
        )
        given = dict.fromkeys(FILTERS) | filters
        bounds = {"since": window.start, "until": window.end}
        used = {column: given[column] for column in asked.filters}
        answer = self.run(asked.select, window, bounds | used)
        samples = self._samples(window, bounds | given)
        return Answer(
            question=name,
            columns=answer.columns,
            rows=answer.rows,
            window_start=window.start,
            window_end=window.end,
            data_through=self.about.data_through,
            samples=samples,
        )

    def samples(self, time_range: TimeRange) -> int:
        """Count the executions in a range.

        Raises:
            NotPublishedError: A published file is damaged or gone.
            SourceError: The database cannot be read.
        """
        window = self.window(time_range)
        bounds = {"since": window.start, "until": window.end}
        return self._samples(window, bounds | dict.fromkeys(FILTERS))

    def _samples(self, window: Window, values: Mapping[str, object]) -> int:
        """Count the executions that pass the filters, in the coarsest table that has the answer."""
        select = _SAMPLES
        if window.from_rows:
            select = _SAMPLES_OF_ROWS
        elif values["repo"] is None and values["task_type"] is None:
            select = _SAMPLES_OF_HOURS
            values = {n: v for n, v in values.items() if n not in ("repo", "task_type")}
        return int(str(self.run(select, window, values).rows[0][0]))

    def measure(
        self, name: str, length: timedelta, end: datetime, **values: str | float | None
    ) -> Rows:
        """Take a measurement of ``sql/checks`` over the window of a length that ends at an instant.

        Args:
            name: Its name.
            length: How long the window is.
            end: Where it ends.
            values: What else the measurement may ask for.

        Raises:
            NotPublishedError: A published file is damaged or gone.
            SourceError: The database cannot be read.
        """
        select = sql("checks", name)
        window = self._data.window(length, end)
        # The window may end before that instant, with a full hour.
        bounds = {"window_start": window.start, "window_end": window.end, "instant": end} | values
        used = {name: value for name, value in bounds.items() if f"${name}" in select}
        return self.run(select, window, used)

    def hours_beyond_limit(self, start: datetime, end: datetime) -> frozenset[datetime]:
        """List the hours of a stretch in which a rule is known to have been beyond a limit.

        Raises:
            NotPublishedError: A published file is damaged or gone.
        """
        return self._data.hours_beyond_limit(start, end)

    def window(self, time_range: TimeRange) -> Window:
        """Return the window of a range that ends at the instant of the reader."""
        return self._data.window(time_range.length, self.about.as_of)

    def run(self, select: str, window: Window, values: Mapping[str, object]) -> Rows:
        """Run one of our SELECTs over a window.

        Raises:
            NotPublishedError: A published file is damaged or gone.
            SourceError: The database cannot be read.
        """
        workspace = self._workspaces.get(window)
        if workspace is None:
            workspace = self._open.enter_context(self._data.workspace(window))
            self._workspaces[window] = workspace
        return workspace.rows(select, values)
