"""Tables of a generation that a long-lived reader keeps in memory, for answers in milliseconds.

The small ones are kept for all ranges; of the hourly ones the days at the edges of the ranges that
were asked about. Everything is read once; a generation does not change.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date, datetime

import duckdb

from dbmon_pipeline.core.duck import quoted
from dbmon_pipeline.core.instants import DAY, day_start
from dbmon_pipeline.core.ranges import Part, TimeRange
from dbmon_pipeline.core.relations import create_macros
from dbmon_pipeline.core.rollups import BY_NAME

_REACH = TimeRange.QUARTER.length + DAY
_MOST_DAYS = 100
"""Days at edges that are kept of all tables together; there are eight for each hour of asking."""


class KeptTables:
    """The tables in memory."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        read: Callable[[str, tuple[Part, ...]], str],
        as_of: datetime,
    ) -> None:
        """Nothing is read yet.

        Args:
            con: The instance whose memory they are kept in.
            read: SQL that reads a table's rows of some stretches of time, and perhaps more.
            as_of: The generation's instant.
        """
        self.since = as_of - _REACH
        self._con = con
        self._read = read
        self._tables: frozenset[str] = frozenset()
        self._days: dict[tuple[str, date], str] = {}
        self._reading = threading.Lock()

    def tables(self) -> frozenset[str]:
        """The small tables, which all cursors see since :attr:`since`, as they see the macros."""
        with self._reading:
            if not self._tables:
                for name in BY_NAME:
                    self._keep(name)
                create_macros(self._con)
                self._tables = frozenset(r.name for r in BY_NAME.values() if r.kept_in_memory)
        return self._tables

    def _keep(self, name: str) -> None:
        """Read a table if it is small; show its files if it is not.

        Each metric of a distribution has a table of its own: to compare the name of the metric for
        every row would take longer than to count.
        """
        rows = f"SELECT * FROM {self._read(name, ((self.since, datetime.max),))}"
        if not BY_NAME[name].kept_in_memory:
            self._con.execute(f"CREATE OR REPLACE VIEW {name} AS {rows}")
        elif "metric" not in BY_NAME[name].key:
            self._con.execute(f"CREATE OR REPLACE TABLE {name} AS {rows}")
        else:
            metrics = [
                row[0]
                for row in self._con.execute(f"SELECT DISTINCT metric FROM ({rows})").fetchall()
            ]
            for number, metric in enumerate(metrics):
                self._con.execute(
                    f"CREATE OR REPLACE TABLE {name}_{number} AS"
                    f" SELECT * EXCLUDE (metric) FROM ({rows}) WHERE metric = $metric",
                    {"metric": metric},
                )
            parts = [
                f"SELECT *, {quoted(metric)} AS metric FROM {name}_{number}"
                for number, metric in enumerate(metrics)
            ]
            self._con.execute(
                f"CREATE OR REPLACE VIEW {name} AS {' UNION ALL '.join(parts) or rows}"
            )

    def edges(self, table: str, parts: tuple[Part, ...]) -> str | None:
        """SQL for what an hourly table holds of some stretches, each within one day.

        Returns:
            None if too much is kept already.
        """
        days = [start.date() for start, _ in parts]
        with self._reading:
            for day in days:
                if (table, day) in self._days:
                    continue
                if len(self._days) >= _MOST_DAYS:
                    return None
                start = day_start(day)
                name = f"memory.main.{table}_{day:%Y%m%d}"
                read = self._read(table, ((start, start + DAY),))
                self._con.execute(
                    f"CREATE TABLE {name} AS SELECT * FROM {read}"
                    " WHERE hour >= $start AND hour < $end",
                    {"start": start, "end": start + DAY},
                )
                self._days[table, day] = name
            names = [self._days[table, day] for day in dict.fromkeys(days)]
        return " UNION ALL ".join(f"SELECT * FROM {name}" for name in names)
