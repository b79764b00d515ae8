"""Reading what a refresh has rolled up before it is published: the rules judge it there.

So the verdicts that are published with a generation are about that very generation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from dbmon_pipeline.core.common.duck import CATALOGUE, storage_errors
from dbmon_pipeline.core.common.instants import hour_floor
from dbmon_pipeline.core.common.shipped import sql
from dbmon_pipeline.core.query.answers import About
from dbmon_pipeline.core.query.ranges import Window, full_hours
from dbmon_pipeline.core.query.reader import Reader
from dbmon_pipeline.core.query.workspace import Workspace, roll_up_rows
from dbmon_pipeline.core.warehouse.warehouse import State, Warehouse


class _Unpublished:
    """The warehouse, as a reader reads it."""

    def __init__(self, warehouse: Warehouse, as_of: datetime) -> None:
        self._warehouse = warehouse
        self._as_of = as_of

    def window(self, length: timedelta, end: datetime, *, to_the_second: bool) -> Window:
        if to_the_second:
            return Window(end - length, end, from_rows=True)
        return full_hours(length, end if end >= self._as_of else hour_floor(end))

    def rows_window(self, length: timedelta, end: datetime) -> Window:
        return Window(end - length, end, from_rows=True)

    def workspace(self, window: Window) -> Workspace:
        cursor = self._warehouse.con.cursor()
        cursor.execute(f"USE {CATALOGUE}")

        def relate(tables: frozenset[str], all_hours: bool) -> None:  # noqa: ARG001
            if window.from_rows:  # Else the tables are there, by their names.
                roll_up_rows(cursor, tables, window)

        return Workspace(cursor, relate)

    def troubled(self, start: datetime, end: datetime) -> frozenset[datetime]:
        rows = self._warehouse.con.execute(
            sql("checks", "troubled_hours"), {"window_start": start, "window_end": end}
        ).fetchall()
        return frozenset(hour for (hour,) in rows)

    def told(self) -> AbstractContextManager[None]:
        return storage_errors(self._warehouse.path)


@contextmanager
def unpublished_reader(warehouse: Warehouse, as_of: datetime) -> Iterator[Reader]:
    """A reader of what is rolled up.

    Args:
        warehouse: Extracted and rolled up.
        as_of: The instant to speak for, that of the extraction.
    """
    source = json.loads(warehouse.state(State.SOURCE) or "{}")
    overview = json.loads(warehouse.state(State.OVERVIEW) or "{}")
    about = About(
        path=Path(str(source.get("path", ""))),
        as_of=as_of,
        data_through=warehouse.instant(State.DATA_THROUGH),
        published_at=None,
        executions=warehouse.executions(),
        schema_version=overview.get("schema_version"),
        source_bytes=int(source.get("size_bytes", 0)),
    )
    reader = Reader(_Unpublished(warehouse, as_of), about)
    try:
        yield reader
    finally:
        reader.close()
