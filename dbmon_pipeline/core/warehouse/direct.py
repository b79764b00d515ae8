"""Looking into a database directly: any learning.db, without a pipeline.

What is asked for is copied out in slices, read-only and quickly, and then rolled up in memory
by the SELECTs that make the published tables. So the figures are those a refresh would publish.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from dbmon_pipeline.core.common.duck import connect, unreadable_value
from dbmon_pipeline.core.common.instants import day_start
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.query.ranges import Window, full_hours
from dbmon_pipeline.core.query.workspace import Workspace, roll_up_rows
from dbmon_pipeline.core.source.redaction import Redactor
from dbmon_pipeline.core.source.source import Source
from dbmon_pipeline.core.warehouse.slices import Slices, cut
from dbmon_pipeline.core.warehouse.warehouse import EXECUTIONS_COLUMNS


class Direct:
    """A learning database as of an instant, looked into directly.

    Attributes:
        con: The instance into whose memory the rows are copied.
        source: The database.
        overview: What a glance at it said.
    """

    def __init__(self, path: Path, config: MonitoringConfig, as_of: datetime) -> None:
        """Glance at the database.

        Args:
            path: The file.
            config: How it may be touched, and what its texts lose.
            as_of: Rows at or after it do not count.

        Raises:
            SourceError: It cannot be read.
        """
        self.con = connect()
        try:
            self.con.execute(f"CREATE TABLE executions ({EXECUTIONS_COLUMNS})")
            self.source = Source(path, config.source, self.con)
            self._redactor = Redactor(config.redaction)
            self._as_of = as_of
            self._history_start = day_start(config.history_start)
            self._copied_from = as_of
            self.overview = self.source.overview(self._history_start, as_of)
        except BaseException:
            self.con.close()
            raise

    def close(self) -> None:
        """Let go of what is in memory."""
        self.con.close()

    def window(self, length: timedelta, end: datetime, *, to_the_second: bool) -> Window:
        """The window of a length that ends at an instant: every one can be had."""
        window = full_hours(length, end)
        return Window(end - length if to_the_second else window.start, end, from_rows=True)

    def rows_window(self, length: timedelta, end: datetime) -> Window:
        """The window of a length that ends at an instant: all of its executions can be had."""
        return self.window(length, end, to_the_second=True)

    def workspace(self, window: Window) -> Workspace:
        """A cursor in which summary tables hold the rows of a window.

        Raises:
            SourceError: The database cannot be read.
        """
        self._copy_from(max(window.start, self._history_start))
        cursor = self.con.cursor()
        return Workspace(cursor, lambda tables, _: roll_up_rows(cursor, tables, window))

    def told(self) -> AbstractContextManager[None]:
        """Nothing to tell: the rows are in memory."""
        return nullcontext()

    def troubled(self, start: datetime, end: datetime) -> frozenset[datetime]:  # noqa: ARG002
        """No hour: a database has no history of checks."""
        return frozenset()

    def _copy_from(self, start: datetime) -> None:
        """Copy the rows from an instant on, as far as they are not here yet."""
        if start >= self._copied_from:
            return
        bounds = {"start": start, "until": self._copied_from}
        with self.source.attached() as con:
            schema = self.source.schema
            hours = con.execute(
                f"""
                SELECT date_trunc('hour', {schema.expression("timestamp")}), count(*)
                FROM source.main.executions WHERE {schema.between("start", "until")}
                GROUP BY 1 ORDER BY 1
                """,
                bounds,
            ).fetchall()
        slices = Slices(self.con, self.source, self._redactor)
        for ((first, end),) in cut(self.source, hours, over_gaps=True):
            with slices.taking([(max(first, start), min(end, self._copied_from))]):
                pass
        if slices:
            try:
                for rows in slices.cleaned():
                    self.con.execute(f"INSERT INTO executions BY NAME {rows}")
            except duckdb.ConversionException as error:
                raise unreadable_value(self.source.path, error) from error
            slices.forget()
        self._copied_from = start
