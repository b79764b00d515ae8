"""Reading what is published: one generation, with no lock anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from difflib import get_close_matches
from glob import escape
from pathlib import Path
from typing import Self

import duckdb

from dbmon_pipeline.core.common.duck import connect, quoted
from dbmon_pipeline.core.common.errors import NotPublishedError
from dbmon_pipeline.core.common.instants import hour_floor
from dbmon_pipeline.core.common.rows import Rows
from dbmon_pipeline.core.common.shipped import sql
from dbmon_pipeline.core.generation.generation import Generation, read_parquet
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.query.ranges import Part, Window, full_hours
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
        """Open a generation, or resolve ``current``, once.

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
        self.con.execute(f"SET memory_limit = '{_MEMORY}'")
        names = (f"{self.folder}/", escape(f"{self.folder}/"))
        self.con.execute(f"SET allowed_directories = [{', '.join(map(quoted, names))}]")
        self.con.execute("SET parquet_metadata_cache = true")
        self.con.execute("SET enable_external_access = false")
        self.con.execute("SET lock_configuration = true")
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
        """The files of a table.

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
        """The files of a table as DuckDB takes them: each a pattern that fits itself alone.

        Raises:
            NotPublishedError: There is no such table; the message names those there are.
        """
        return [escape(str(file)) for file in self.files(table)]

    def rows(self, table: str, *, limit: int | None = None) -> Rows:
        """The rows of a table, or the last so many of them, in the order of its key.

        Raises:
            NotPublishedError: There is no such table, or a file of it is damaged or gone.
        """
        found = self.query(table, limit=limit)
        with self.translate_errors(table):
            return Rows(tuple(c[0] for c in found.description or ()), found.fetchall())

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

    def window(self, length: timedelta, end: datetime, *, to_the_second: bool) -> Window:
        """The window of a length that ends at an instant, as well as this generation can have it.

        To the second where the executions themselves are published, else from full hours; and one
        that ends before what is published ends, ends with a full hour.
        """
        start, as_of = end - length, self.manifest.as_of
        if to_the_second and start >= self.manifest.recent_from:
            return Window(start, end, from_rows=True)
        return full_hours(length, end if end >= as_of else hour_floor(end))

    def rows_window(self, length: timedelta, end: datetime) -> Window:
        """Return as much of the window of a length as the published executions reach back."""
        oldest = self.manifest.recent_from
        return Window(min(max(end - length, oldest), end), end, from_rows=True)

    def hours_beyond_limit(self, start: datetime, end: datetime) -> frozenset[datetime]:
        """The hours of a stretch in which a rule was beyond a limit.

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
            found = cursor.execute(sql("checks", name), {"window_start": start, "window_end": end})
            return Rows(tuple(c[0] for c in found.description or ()), found.fetchall())

    def workspace(self, window: Window) -> AbstractContextManager[Workspace]:
        """A cursor in which summary tables hold the rows of a window.

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
            with self.translate_errors():
                if window.from_rows:
                    rows = self._cache.rows() if self._cache else self._files(_RECENT, whole)
                    self._view(cursor, "executions", rows)
                    roll_up_rows(cursor, tables, window)
                    return
                for table in tables:
                    has_days = table in DAILY_TABLE_OF and not all_hours
                    files = self._files(table, window.edges if has_days else whole)
                    self._view(cursor, table, files)

        return Workspace(cursor, create_tables, kept)

    @contextmanager
    def translate_errors(self, table: str = "") -> Iterator[None]:
        """Tell what DuckDB says of a file, but not what it says of our SQL.

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
        """SQL that reads the files of a table that may hold rows of some stretches of time."""
        files = self.files(table)
        near = zip(self.manifest.tables[table], files, strict=True)
        paths = [path for file, path in near if any(file.overlaps(*part) for part in parts)]
        return read_parquet(paths or files[:1])
