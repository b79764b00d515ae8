"""Published generation, read without any lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from difflib import get_close_matches
from glob import escape
from pathlib import Path
from typing import Self

import duckdb

from dbmon_pipeline.core.common.duck import connect, fetch_rows, quoted
from dbmon_pipeline.core.common.errors import NotPublishedError
from dbmon_pipeline.core.common.instants import hour_floor
from dbmon_pipeline.core.common.rows import Rows
from dbmon_pipeline.core.common.shipped import sql
from dbmon_pipeline.core.generation.generation import Generation, read_parquet
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.query.ranges import LONGEST_TO_THE_SECOND, Part, Window
from dbmon_pipeline.core.query.window_cache import WindowCache
from dbmon_pipeline.core.query.workspace import Workspace, roll_up_rows
from dbmon_pipeline.core.schema.catalogue import DAILY_TABLE_OF, TABLES
from dbmon_pipeline.core.schema.manifest import Manifest, read_manifest

_RECENT = "recent_executions"
_HISTORY = "check_history"
_MEMORY = "1GB"
"""Memory limit of a reader; a question about 90 days of ten million executions needs a tenth."""


class Published:
    """Published generation, opened for reading.

    A reader that keeps it sees the same figures until the generation is removed, whatever is
    published meanwhile.

    Attributes:
        folder: Where it lies.
        manifest: What it holds.
        con: An instance of its own that can open nothing but that folder.
    """

    def __init__(self, at: Home | Generation, *, in_memory: bool = False) -> None:
        """Open a generation, or the current one of a home.

        Args:
            at: The generation, or the home that was published in.
            in_memory: Whether what was read stays in memory; worth it for whoever asks many
                questions.

        Raises:
            NotPublishedError: Nothing is published.
        """
        if isinstance(at, Home):
            at = Generation(folder := at.generation, read_manifest(folder))
        self._generation = at
        self.folder = self._generation.folder
        self.manifest: Manifest = self._generation.manifest
        self.con = connect()
        names = (f"{self.folder}/", escape(f"{self.folder}/"))
        self.con.execute(
            f"SET memory_limit = '{_MEMORY}';"
            f"SET allowed_directories = [{', '.join(map(quoted, names))}];"
            "SET parquet_metadata_cache = true;"
            "SET enable_external_access = false;"
            "SET lock_configuration = true"
        )
        rows = self._files(_RECENT, ((datetime.min, datetime.max),))
        self._cache = WindowCache(self.con, rows, self._workspace) if in_memory else None

    def close(self) -> None:
        """Let go of what is in memory."""
        self.con.close()

    def __enter__(self) -> Self:
        """Use it as a context: closed at the end, whatever happens."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def files(self, table: str) -> list[Path]:
        """List the files of a table.

        Raises:
            NotPublishedError: There is no such table; the message names those there are.
        """
        if table not in self.manifest.tables:
            known = sorted(self.manifest.tables)
            if table in TABLES:
                raise NotPublishedError(
                    f"the table {table} is not in what is published, which an older version made",
                    remedy="run dbmon refresh",
                )
            near = get_close_matches(table[:100], known, n=1)
            raise NotPublishedError(
                f"no table {table[:100]!r} is published",
                remedy=(f"did you mean {near[0]}? " if near else "")
                + f"the tables are {', '.join(known)}",
            )
        return [self.folder / table / file.name for file in self.manifest.tables[table]]

    def patterns(self, table: str) -> list[str]:
        """List the files of a table as DuckDB takes them: each a pattern that fits itself alone.

        Raises:
            NotPublishedError: There is no such table; the message names those there are.
        """
        return [escape(str(file)) for file in self.files(table)]

    def rows(self, table: str, *, limit: int | None = None) -> Rows:
        """Read the rows of a table, or the last so many of them, in the order of its key.

        Raises:
            NotPublishedError: There is no such table, or a file of it is damaged or gone.
        """
        cursor = self.query(table, limit=limit)
        with self.translate_errors(table):
            return fetch_rows(cursor)

    def fetch(self, table: str, select: str, **values: object) -> Rows:
        """Run a statement over the files of a table, which it reads as ``$files``.

        Raises:
            NotPublishedError: There is no such table, or a file of it is damaged or gone.
        """
        values["files"] = self.patterns(table)
        with self.translate_errors(table):
            return fetch_rows(self.con.cursor().execute(select, values))

    def query(self, table: str, *, limit: int | None = None) -> duckdb.DuckDBPyConnection:
        """Query a table as :meth:`rows` does, for callers that fetch the rows in another form.

        Raises:
            NotPublishedError: There is no such table, or a file of it is damaged or gone.
        """
        files = self.patterns(table)
        # A later version may have published a table that this one does not know.
        key = TABLES[table].key if table in TABLES else ("ALL",)
        newest = (
            "" if limit is None else f"ORDER BY {', '.join(f'{c} DESC' for c in key)} LIMIT $limit"
        )
        with self.translate_errors(table):
            return self.con.cursor().execute(
                f"SELECT * FROM (SELECT * FROM read_parquet($files) {newest})"
                f" ORDER BY {', '.join(key)}",
                {"files": files} | ({} if limit is None else {"limit": limit}),
            )

    def window(self, length: timedelta, end: datetime) -> Window:
        """Return the window of a length that ends at an instant.

        Up to 24 hours it is to the second where the executions themselves are published.
        """
        if length <= LONGEST_TO_THE_SECOND and end - length >= self.manifest.recent_from:
            return Window(end - length, end, from_rows=True)
        return self.hours_window(length, end)

    def hours_window(self, length: timedelta, end: datetime) -> Window:
        """Return the window of a length from a full hour on.

        One that ends before what is published ends, ends with a full hour, too.
        """
        end = end if end >= self.manifest.as_of else hour_floor(end)
        return Window(hour_floor(end - length), end)

    def rows_window(self, length: timedelta, end: datetime) -> Window:
        """Return as much of the window of a length as the published executions reach back."""
        oldest = self.manifest.recent_from
        return Window(min(max(end - length, oldest), end), end, from_rows=True)

    def hours_beyond_limit(self, start: datetime, end: datetime) -> frozenset[datetime]:
        """List the hours of a stretch in which a rule was beyond a limit.

        Raises:
            NotPublishedError: A file is damaged or gone.
        """
        if _HISTORY not in self.manifest.tables:
            return frozenset()
        hours = (hour for (hour,) in self.of_history("hours_beyond_limit", start, end).rows)
        return frozenset(hour for hour in hours if isinstance(hour, datetime))

    def of_history(self, name: str, start: datetime, end: datetime) -> Rows:
        """Run a measurement of ``sql/checks`` over the verdicts of a stretch.

        Raises:
            NotPublishedError: There is no history, or a file of it is damaged or gone.
        """
        with self.translate_errors(_HISTORY):
            cursor = self.con.cursor()
            reach = start, end + timedelta.resolution
            self._view(cursor, _HISTORY, self._files(_HISTORY, (reach,)))
            select = sql("checks", name)
            return fetch_rows(cursor.execute(select, {"window_start": start, "window_end": end}))

    def workspace(self, window: Window) -> AbstractContextManager[Workspace]:
        """Open a workspace in which summary tables hold the rows of a window.

        Raises:
            NotPublishedError: A file is damaged or gone.
        """
        if self._cache is None or window.from_rows or not self._cache.has_room(window):
            return self._workspace(window)
        return self._cache.workspace(window)

    def _workspace(self, window: Window, kept: Callable[[str], str] | None = None) -> Workspace:
        cursor = self.con.cursor()

        def create_tables(tables: frozenset[str], all_hours: bool) -> None:
            whole = ((window.start, window.end),)
            if window.from_rows:
                rows = self._cache.rows() if self._cache else self._files(_RECENT, whole)
                self._view(cursor, "executions", rows)
                roll_up_rows(cursor, tables, window)
                return
            for table in tables:
                has_days = table in DAILY_TABLE_OF and not all_hours
                self._view(cursor, table, self._files(table, window.edges if has_days else whole))

        return Workspace(cursor, create_tables, kept, self.translate_errors)

    @contextmanager
    def translate_errors(self, table: str = "") -> Iterator[None]:
        """Translate an error of DuckDB about a file, but not one about our SQL.

        Args:
            table: The table whose files are read, if it is one.

        Raises:
            NotPublishedError: A file is damaged or gone.
        """
        try:
            yield
        except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException):
            raise
        except duckdb.Error as error:
            raise NotPublishedError(
                f"{self.folder / table} cannot be read ({str(error).splitlines()[0]})",
                remedy="run dbmon refresh; if it persists, remove that generation first",
            ) from error

    @staticmethod
    def _view(cursor: duckdb.DuckDBPyConnection, name: str, relation: str) -> None:
        cursor.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT * FROM {relation}")

    def _files(self, table: str, parts: tuple[Part, ...]) -> str:
        """Write SQL that reads the files of a table with rows of some stretches of time."""
        files = self.files(table)
        return self._generation.relation(
            table, lambda file: any(file.overlaps(*part) for part in parts)
        ) or read_parquet(files[:1])
