"""What is known of every table that is published."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True)
class Table:
    """One published table.

    Attributes:
        name: Its name everywhere.
        grain: What one row stands for, in words.
        key: The columns that identify a row, in the order in which files are sorted.
        window: For a table of the last so much time: its length. None if rows belong to days.
        file_sort: SQL for the order of rows in a file where that is not the key: what is asked for
            together lies together.
    """

    name: str
    grain: str
    key: tuple[str, ...]
    window: timedelta | None = field(default=None, kw_only=True)
    file_sort: str | None = field(default=None, kw_only=True)

    @property
    def file_order(self) -> str:
        """SQL for the order of rows in a file."""
        return self.file_sort or ", ".join(self.key)

    @property
    def time_column(self) -> str | None:
        """The key column that says to which day a row belongs; None in a window's table."""
        times = ("hour", "date", "as_of", "evaluated_at")
        return next((column for column in self.key if column in times), None)
