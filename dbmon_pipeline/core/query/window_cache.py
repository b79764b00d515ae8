"""In-memory cache of a long-lived reader's generation, for answers in milliseconds.

The cells of each window that was asked about are read once; after that a question costs neither a
file nor the planning of how to read it. A generation does not change.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import duckdb

from dbmon_pipeline.core.query.questions import FILTERS
from dbmon_pipeline.core.query.ranges import Window
from dbmon_pipeline.core.query.workspace import Workspace

_MOST_WINDOWS = 24
"""Windows of long ranges change with the hour; three of them are asked about at any time."""


_ROWS = "memory.main.kept_executions"

Prepare = Callable[[Window, Callable[[str], str] | None], Workspace]
"""Makes a workspace for a window; its macros over cells read the tables that the function names."""


class WindowCache:
    """Cache of cells and of the latest rows, in tables that all cursors of an instance see."""

    def __init__(self, con: duckdb.DuckDBPyConnection, rows: str, prepare: Prepare) -> None:
        """Start with nothing read.

        Args:
            con: The instance.
            rows: SQL that reads the published executions.
            prepare: Makes a workspace of the instance.
        """
        self._con = con
        self._rows = rows
        self._has_rows = False
        self._prepare = prepare
        self._numbers: dict[Window, int] = {}
        self._tables: dict[tuple[Window, str], str] = {}
        self._idle: dict[Window, list[Workspace]] = {}
        self._reading = threading.Lock()

    def has_room(self, window: Window) -> bool:
        """Tell whether a window is kept; one that is new is, as long as there is room for it."""
        with self._reading:
            if len(self._numbers) < _MOST_WINDOWS:
                self._numbers.setdefault(window, len(self._numbers))
            return window in self._numbers

    @contextmanager
    def workspace(self, window: Window) -> Iterator[Workspace]:
        """Open a workspace for a window that is kept, for one caller at a time."""
        idle = self._idle.setdefault(window, [])
        try:
            workspace = idle.pop()
        except IndexError:
            workspace = self._prepare(window, partial(self._cells, window))
        try:
            yield workspace
        finally:
            idle.append(workspace)

    def rows(self) -> str:
        """Name the table of the published executions, made when it is first asked for."""
        with self._reading:
            if not self._has_rows:
                self._con.execute(f"CREATE OR REPLACE TABLE {_ROWS} AS FROM {self._rows}")
                self._has_rows = True
        return _ROWS

    def _cells(self, window: Window, macro: str) -> str:
        """Name the table of the rows of a macro of ``sql/macros/cells.sql`` over a window."""
        with self._reading:
            if (window, macro) not in self._tables:
                table = f"memory.main.{macro}_{self._numbers[window]}"
                with self._prepare(window, None) as workspace:
                    workspace.run(
                        f"CREATE TEMP TABLE cells AS FROM {macro}($since, $until)",
                        {"since": window.start, "until": window.end},
                    )
                    _keep_cells(workspace.cursor, table)
                self._tables[window, macro] = table
            return self._tables[window, macro]


def _keep_cells(cursor: duckdb.DuckDBPyConnection, table: str) -> None:
    """Make a table of ``cells``; to group by a dimension's number is faster than by its name.

    An empty name is among them, because DuckDB 1.5 knows no ENUM of nothing.
    """
    columns = [column for column, *_ in cursor.execute("FROM cells LIMIT 0").description or ()]
    numbered = [column for column in columns if column in FILTERS]
    for column in numbered:
        cursor.execute(
            f"CREATE OR REPLACE TYPE {table}_{column} AS"
            f" ENUM (SELECT {column} FROM cells UNION SELECT '' ORDER BY ALL)"
        )
    replaced = ", ".join(f"CAST({column} AS {table}_{column}) AS {column}" for column in numbered)
    cursor.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * REPLACE ({replaced}) FROM cells")
