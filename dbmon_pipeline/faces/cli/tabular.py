"""Rows as a table for people, which fits the terminal as well as it can."""

from __future__ import annotations

import re
import shutil
import sys
from datetime import date, datetime
from types import NoneType

from dbmon_pipeline.core.common.rows import Rows
from dbmon_pipeline.core.common.safe_text import plain

_WIDEST_CELL = 40
_NARROWEST_TEXT = 8


def table_lines(rows: Rows, indent: int = 0) -> list[str]:
    """Render a table for people.

    On a terminal that is too narrow, headings are broken at their underscores and texts are cut;
    a single row is turned on its side.

    Args:
        rows: The rows.
        indent: Columns of the terminal that it leaves free.
    """
    body = [tuple(_cell(value) for value in row) for row in rows.rows]
    numeric = [
        _all_are(rows, column, (int, float, NoneType)) for column in range(len(rows.columns))
    ]
    headings = [[name] for name in rows.columns]
    widths = _widths(headings, body)
    room = shutil.get_terminal_size().columns - indent if sys.stdout.isatty() else sys.maxsize
    if _length(widths) > room:
        if len(body) == 1:
            longest = max(map(len, rows.columns))
            pairs = zip(rows.columns, body[0], strict=True)
            return [f"{name.ljust(longest)}  {cell}" for name, cell in pairs]
        headings = [re.findall(r"[^_]+_?", name) for name in rows.columns]
        widths = _widths(headings, body)
        instants = [_all_are(rows, column, date) for column in range(len(rows.columns))]
        _narrow(widths, [a or b for a, b in zip(numeric, instants, strict=True)], room)
    height = max((len(parts) for parts in headings), default=1)
    above = [[""] * (height - len(parts)) + parts for parts in headings]
    return [
        "  ".join(
            _cut(cell, width).rjust(width) if is_number else _cut(cell, width).ljust(width)
            for cell, width, is_number in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in [*zip(*above, strict=True), *body]
    ]


def _all_are(rows: Rows, column: int, kind: type | tuple[type, ...]) -> bool:
    return all(isinstance(row[column], kind) for row in rows.rows)


def _widths(headings: list[list[str]], body: list[tuple[str, ...]]) -> list[int]:
    columns = zip(*body, strict=True) if body else ((),) * len(headings)
    return [max(map(len, [*parts, *cells])) for parts, cells in zip(headings, columns, strict=True)]


def _length(widths: list[int]) -> int:
    return sum(widths) + 2 * (len(widths) - 1)


def _narrow(widths: list[int], fixed: list[bool], room: int) -> None:
    """Take from the widest texts until the columns fit into the room, or all are short."""
    texts = [column for column, is_fixed in enumerate(fixed) if not is_fixed]
    while texts and _length(widths) > room:
        widest = max(texts, key=lambda column: widths[column])
        if widths[widest] <= _NARROWEST_TEXT:
            return
        widths[widest] -= 1


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _cell(value: object) -> str:
    """Render a value for a person: short, on one line, and without control characters."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:,.4g}" if abs(value) < 1 else f"{value:,.2f}"
        case datetime():
            return value.isoformat(sep=" ", timespec="seconds")
    return plain(str(value), _WIDEST_CELL)
