"""Databases that are looked into without a pipeline, open in the reader process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.common.instants import DAY, day_start
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.query.ranges import Window
from dbmon_pipeline.core.query.workspace import Workspace, roll_up_rows
from dbmon_pipeline.core.rollup.chunks import Chunk
from dbmon_pipeline.core.rollup.read_rows import INCOMING, read_chunk
from dbmon_pipeline.core.schema.columns import ROW_COLUMNS
from dbmon_pipeline.core.schema.manifest import SourceProfile
from dbmon_pipeline.core.source.contract import SourceSchema, inspect
from dbmon_pipeline.core.source.kinds import open_source
from dbmon_pipeline.core.source.profile import look_over
from dbmon_pipeline.core.source.reader_protocol import encode_rows
from dbmon_pipeline.core.source.redaction import Redactor

_COPIED = "copied_executions"
"""The rows that are in memory."""
_MEMORY_LIMIT = "2GB"

OPEN: dict[int, OpenDatabase] = {}
"""The databases that are open, by their numbers."""


class OpenDatabase:
    """A learning database as of an instant, whose rows are copied as they are asked about.

    Attributes:
        number: Its number, which no database of a process before this one had.
        profile: What a look over it said.
    """

    def __init__(self, path: Path, config: MonitoringConfig, as_of: datetime) -> None:
        """Look over the database.

        Raises:
            SourceError: It cannot be read.
        """
        self.number = time.time_ns()
        self._con = connect()
        try:
            self._con.execute(f"SET memory_limit = '{_MEMORY_LIMIT}'")
            self._con.execute(f"CREATE TABLE {_COPIED} ({ROW_COLUMNS})")
            self._source = open_source(self._con, path, config.source)
            self._redactor = Redactor(config.redaction, self._con)
            self._as_of = as_of
            self._history_start = day_start(config.history_start)
            self._copied_from = as_of
            self._workspaces: dict[Window, Workspace] = {}
            self._schema, self.profile = self._source.read(self._look)
        except BaseException:
            self._con.close()
            raise

    def close(self) -> None:
        """Let go of what is in memory."""
        self._con.close()

    def ask(self, window: Window, select: str, values: Mapping[str, object]) -> dict[str, Any]:
        """Run a statement over the tables of a window; answer with encoded rows.

        Raises:
            SourceError: The database cannot be read.
        """
        self._copy_from(max(window.start, self._history_start))
        workspace = self._workspaces.setdefault(window, self._workspace(window))
        found = workspace.run(select, values)
        return encode_rows([column[0] for column in found.description or ()], found.fetchall())

    def _look(self, cursor: duckdb.DuckDBPyConnection) -> tuple[SourceSchema, SourceProfile]:
        schema = inspect(cursor, self._source.path, is_ours=self._source.is_ours)
        profile = look_over(cursor, self._source, schema, self._history_start, self._as_of)
        return schema, profile

    def _workspace(self, window: Window) -> Workspace:
        cursor = self._con.cursor()

        def create_tables(tables: frozenset[str], all_hours: bool) -> None:  # noqa: ARG001
            cursor.execute(f"CREATE OR REPLACE TEMP VIEW executions AS FROM {_COPIED}")
            roll_up_rows(cursor, tables, window)

        return Workspace(cursor, create_tables)

    def _copy_from(self, start: datetime) -> None:
        """Copy the rows from an instant on, as far as they are not here yet."""
        if start >= self._copied_from:
            return
        chunk = Chunk(((start, self._copied_from),), _days(start, self._copied_from), 0)
        read_chunk(self._con, self._source, self._schema, chunk, self._as_of, self._redactor)
        columns = ", ".join(column.split()[0] for column in ROW_COLUMNS.split(", "))
        self._con.execute(
            f"INSERT INTO {_COPIED} BY NAME SELECT {columns} FROM memory.main.{INCOMING}"
        )
        self._con.execute(f"DROP TABLE memory.main.{INCOMING}")
        self._copied_from = start
        self._workspaces.clear()


def _days(start: datetime, end: datetime) -> tuple[date, ...]:
    length = end - day_start(start.date()) - timedelta.resolution
    return tuple((start + n * DAY).date() for n in range(length // DAY + 1))
