"""Slices: rows copied out of the source under its lock, and cleaned once it is given back.

They wait in ``memory.main``, each slice in a table of its own, because DuckDB inserts into an
existing one at a third of the speed. They are stored one after the other: their ``UNION ALL`` would
be stored in as many parts, and written once more by the next checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import duckdb

from dbmon_pipeline.core.common.instants import HOUR
from dbmon_pipeline.core.query.ranges import Part
from dbmon_pipeline.core.schema.executions import COLUMNS
from dbmon_pipeline.core.source.contract import SourceSchema
from dbmon_pipeline.core.source.redaction import TEXT_COLUMNS, Redactor
from dbmon_pipeline.core.source.source import Source

_SMALLEST_SLICE_ROWS = 30_000
"""A smaller slice takes hardly less time: DuckDB unpacks a row group of 122,880 rows as a whole."""
_MOST_RUNS = 8
"""How many runs of hours a slice of a busy table has at the most; each takes some 3 ms."""
_ONE_LOOK = timedelta(hours=52)
"""Where the hours of so long a time have few rows, any number of runs is as quick as one."""
_LONGEST_TEXT = 2_000
"""Characters of free text that are kept."""


def cut(
    source: Source, hours: list[tuple[datetime, int]], *, over_gaps: bool
) -> Iterator[list[Part]]:
    """Cut hours into slices, sized by how long the last hold was.

    An owner that opens the source for each write and finds it held will try again soon: so a few
    late rows here and there are one hold, not many with a moment between them.

    Args:
        source: What is held for each of them.
        hours: When each hour begins, in ascending order, and how many rows it has.
        over_gaps: Whether a run may go on over hours that are not among them, because those
            have no rows; otherwise it is of adjacent hours.

    Yields:
        The windows ``[start, end)`` of a slice; it is to be taken before the next one is.
    """
    size = _SMALLEST_SLICE_ROWS
    first = 0
    while first < len(hours):
        runs: list[Part] = []
        rows, most, last = 0, 0, first
        while last < len(hours) and (not runs or rows + hours[last][1] <= size):
            hour, count = hours[last]
            most = max(most, count)
            if runs and (over_gaps or hour == runs[-1][1]):
                runs[-1] = (runs[-1][0], hour + HOUR)
            elif len(runs) < _MOST_RUNS or _is_quiet(runs[0][0], hour, most):
                runs.append((hour, hour + HOUR))
            else:
                break
            rows += count
            last += 1
        yield runs
        if rows > size // 2:
            size = max(_SMALLEST_SLICE_ROWS, int(size * source.fit()))
        first = last
        source.pause()


def _is_quiet(first: datetime, last: datetime, most: int) -> bool:
    """Whether all hours from one to another are quick to look at, with so many rows at the most."""
    length = last + HOUR - first
    return length <= _ONE_LOOK and most * (length / HOUR) <= _SMALLEST_SLICE_ROWS


def within(schema: SourceSchema, windows: list[Part]) -> tuple[str, dict[str, datetime]]:
    """SQL for "the row lies in one of these windows", which are in ascending order.

    Returns:
        The condition and its parameters. It begins with the bounds of all of them, by which DuckDB
        skips row groups.
    """
    values = {"since": windows[0][0], "until": windows[-1][1]}
    for number, (start, end) in enumerate(windows):
        values |= {f"start_{number}": start, f"end_{number}": end}
    runs = (schema.between(f"start_{number}", f"end_{number}") for number in range(len(windows)))
    return f"{schema.between('since', 'until')} AND ({' OR '.join(runs)})", values


class Slices:
    """Slices of a source that wait in memory.

    Attributes:
        rows: How many rows wait.
        together: The view of all of them, as the source has them, once they are cleaned.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        source: Source,
        redactor: Redactor,
        name: str = "slices",
    ) -> None:
        """Nothing is copied yet.

        Args:
            con: A connection to the instance into whose memory the rows go.
            source: Where they come from.
            redactor: What free text loses.
            name: What their tables are called; others may wait beside them under another name.
        """
        self.rows = 0
        self.together = f"memory.main.{name}"
        self._con = con
        self._source = source
        self._redactor = redactor
        self._tables: list[str] = []

    @contextmanager
    def taking(self, windows: list[Part]) -> Iterator[duckdb.DuckDBPyConnection]:
        """Copy the rows of windows ``[start, end)`` into memory.

        Yields:
            A cursor that still has the source attached, to take something else of the same moment.

        Raises:
            SourceError: The source cannot be read.
        """
        table = f"{self.together}_{len(self._tables)}"
        with self._source.attached() as con:
            schema = self._source.schema
            condition, values = within(schema, windows)
            copied = con.execute(
                f"CREATE OR REPLACE TABLE {table} AS SELECT {schema.columns}"
                f" FROM source.main.executions WHERE {condition}",
                values,
            ).fetchall()
            self._tables.append(table)
            self.rows += int(copied[0][0])
            yield con

    def __bool__(self) -> bool:
        """Whether any slice waits, be it without a row."""
        return bool(self._tables)

    def cleaned(self) -> list[str]:
        """SQL for the rows that wait, a statement a slice, in our columns and without secrets.

        The texts that must change are found in a statement of their own, because the optimizer
        would match every row instead of every text.
        """
        con, schema, cleaned = self._con.cursor(), self._source.schema, f"{self.together}_cleaned"
        slices = " UNION ALL ".join(f"SELECT * FROM {table}" for table in self._tables)
        con.execute(f"CREATE OR REPLACE VIEW {self.together} AS {slices}")
        texts = " UNION ".join(
            f"SELECT {schema.expression(name)} AS text FROM {self.together}"
            for name in TEXT_COLUMNS
        )
        clean = f"substring({self._redactor.expression('text')}, 1, {_LONGEST_TEXT})"
        con.execute(f"CREATE OR REPLACE TABLE {self.together}_texts AS {texts}")
        con.execute(
            f"CREATE OR REPLACE TABLE {cleaned} AS"
            f" SELECT text, {clean} AS clean FROM {self.together}_texts WHERE {clean} <> text"
        )
        changing = TEXT_COLUMNS if con.execute(f"FROM {cleaned}").fetchone() else ()
        columns = ", ".join(
            f"coalesce({c.name}_cleaned.clean, {schema.expression(c.name)}) AS {c.name}"
            if c.name in changing
            else f"{schema.expression(c.name)} AS {c.name}"
            for c in COLUMNS
        )
        joins = " ".join(
            f"LEFT JOIN {cleaned} AS {name}_cleaned"
            f" ON {schema.expression(name)} = {name}_cleaned.text"
            for name in changing
        )
        return [f"SELECT {columns} FROM {table} {joins}" for table in self._tables]

    def forget(self) -> None:
        """Let the rows that wait go."""
        for table in self._tables:
            self._con.execute(f"DROP TABLE {table}")
        self._tables.clear()
        self.rows = 0
