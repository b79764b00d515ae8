"""Tables that are published: their facts stand in the headers of their SELECTs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from dbmon_pipeline.core.common.instants import day_start
from dbmon_pipeline.core.common.shipped import sql, sql_header

_TIMES = ("hour", "date", "as_of", "evaluated_at", "timestamp")


@dataclass(frozen=True)
class Table:
    """Published table.

    Attributes:
        name: Its name everywhere.
        grain: What one row stands for, in words.
        key: The columns that identify a row, in the order in which files are sorted.
        source: The relation that its SELECT reads; None if it has no SELECT.
        window: For a table of the last so much time: its length. None if rows belong to days.
        file_sort: SQL for the order of rows in a file where that is not the key: what is asked for
            together lies together.
        totals: Columns of the hour ledger, and expressions over this table that equal their sums.
    """

    name: str
    grain: str
    key: tuple[str, ...]
    source: str | None = None
    window: timedelta | None = None
    file_sort: str | None = None
    totals: Mapping[str, str] = field(default_factory=dict)

    @property
    def file_order(self) -> str:
        """SQL for the order of rows in a file."""
        return self.file_sort or ", ".join(self.key)

    @property
    def time_column(self) -> str:
        """The column that says to which day a row belongs."""
        return next((column for column in self.key if column in _TIMES), "last_seen")

    @property
    def select(self) -> str:
        """The bare SELECT, with ``$window_start`` and ``$window_end``."""
        return sql("rollups", self.name)

    @cached_property
    def digest(self) -> str:
        """The digest of the SELECT, whatever its comments say."""
        text = re.sub(r"--.*", "", self.select) if self.source else self.name
        return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:16]

    def window_at(self, as_of: datetime) -> tuple[datetime, datetime]:
        """Return the window ``[start, end)`` of a table of the last so much time, from midnight on.

        Raises:
            ValueError: The rows of this table belong to days.
        """
        if self.window is None:
            raise ValueError(f"{self.name} has no window")
        return day_start(as_of.date()) - self.window, as_of


def read_table(name: str, window: timedelta | None = None) -> Table:
    """Read the facts of a table from the header of its SELECT.

    Args:
        name: The name of the file in ``sql/rollups/``.
        window: For a table of the last so much time: its length.
    """
    facts: dict[str, str] = {}
    totals: dict[str, str] = {}
    for line in sql_header("rollups", name):
        label, _, value = line.partition(": ")
        if label == "Total":
            column, _, expression = value.partition(" = ")
            totals[column] = expression
        elif label in ("One row", "Key", "From", "Sort"):
            facts[label] = value
    return Table(
        name=name,
        grain=facts["One row"].rstrip("."),
        key=tuple(facts["Key"].split(", ")),
        source=facts["From"],
        window=window,
        file_sort=facts.get("Sort"),
        totals=totals,
    )
