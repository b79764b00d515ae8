"""Rows, and their values: as numbers, and where there are no types but those of JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime

from dbmon_pipeline.core.common.instants import iso

Scalar = str | int | float | bool | None
Records = list[dict[str, Scalar]]


@dataclass(frozen=True)
class Rows:
    """Rows of a table or an answer.

    Attributes:
        columns: Their names.
        rows: Their values, in the order of the table's key or as the question orders them.
    """

    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]

    @property
    def records(self) -> Records:
        """The rows by column, as JSON has them."""
        return [
            {name: plain(value) for name, value in zip(self.columns, row, strict=True)}
            for row in self.rows
        ]


def plain(value: object) -> Scalar:
    """Convert a value to its form in JSON and CSV: instants with a Z, ISO 8601 dates, no NaN."""
    match value:
        case datetime():
            return iso(value)
        case date():
            return value.isoformat()
        case float() if not math.isfinite(value):
            return None
        case None | bool() | int() | float():
            return value
    return str(value)


def number(value: object) -> float | None:
    """Convert a numeric value of any type to a float; None stays None."""
    return None if value is None else float(str(value))
