"""What the commands print: data on stdout, what is about it on stderr."""

from __future__ import annotations

import csv
import json
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from enum import IntEnum, StrEnum

from dbmon_pipeline.core.rows import Rows, plain

_WIDEST_CELL = 40
_NARROWEST_TEXT = 8


class ExitCode(IntEnum):
    """The exit codes, as monitoring plugins have them."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3
    INTERRUPTED = 130


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def say(line: str) -> None:
    """Print a line about the data, on stderr."""
    sys.stderr.write(f"{line}\n")


def put(text: str) -> None:
    """Print what was asked for, one line or several, on stdout."""
    with _as_far_as_read():
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def put_rows(rows: Rows, form: Format) -> None:
    """Print rows: a table for people, JSON or CSV for programs."""
    with _as_far_as_read():
        _put_rows(rows, form)
        sys.stdout.flush()


def is_interrupt(error: RuntimeError) -> bool:
    """Whether DuckDB says in its own words that a signal has interrupted a query."""
    return str(error) == "Query interrupted"


@contextmanager
def _as_far_as_read() -> Iterator[None]:
    """Let the reader have seen enough, as in ``dbmon show ... | head``."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _put_rows(rows: Rows, form: Format) -> None:
    match form:
        case Format.JSON:
            put(json.dumps(rows.records, indent=1, ensure_ascii=False, allow_nan=False))
        case Format.CSV:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(rows.columns)
            writer.writerows([[plain(value) for value in row] for row in rows.rows])
        case Format.TABLE:
            put("\n".join(table_lines(rows)))


def table_lines(rows: Rows, indent: int = 0) -> list[str]:
    """A table for people; on a terminal its texts are cut until it fits.

    Args:
        rows: The rows.
        indent: Columns of the terminal that it leaves free.
    """
    cells = [rows.columns, *(tuple(_cell(value) for value in row) for row in rows.rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(rows.columns))]
    numeric = [
        all(isinstance(row[column], int | float | None) for row in rows.rows)
        for column in range(len(rows.columns))
    ]
    if sys.stdout.isatty():
        room = shutil.get_terminal_size().columns - indent
        if len(rows.rows) == 1 and sum(widths) + 2 * len(widths) > room:
            name_width = max(map(len, rows.columns))
            return [f"{name.ljust(name_width)}  {cell}" for name, cell in zip(*cells, strict=True)]
        _narrow(
            widths,
            [is_number or _has_instants(rows, i) for i, is_number in enumerate(numeric)],
            room,
        )
    return [
        "  ".join(
            _cut(cell, width).rjust(width) if is_number else _cut(cell, width).ljust(width)
            for cell, width, is_number in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in cells
    ]


def _has_instants(rows: Rows, column: int) -> bool:
    return any(isinstance(row[column], date) for row in rows.rows)


def _narrow(widths: list[int], fixed: list[bool], room: int) -> None:
    """Take from the widest texts until the columns fit into the room, or all are short."""
    while sum(widths) + 2 * (len(widths) - 1) > room:
        texts = [i for i, is_fixed in enumerate(fixed) if not is_fixed]
        widest = max(texts, key=lambda i: widths[i], default=None)
        if widest is None or widths[widest] <= _NARROWEST_TEXT:
            return
        widths[widest] -= 1


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _cell(value: object) -> str:
    """A value for a person: short, on one line, and without control characters."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:,.4g}" if abs(value) < 1 else f"{value:,.2f}"
        case datetime():
            return value.isoformat(sep=" ", timespec="seconds")
    text = "".join(c if c.isprintable() else " " for c in str(value))
    return _cut(text, _WIDEST_CELL)


@contextmanager
def progress() -> Iterator[None]:
    """Show what the core logs: in one line that changes on a terminal, in plain lines elsewhere."""
    handler = _Progress()
    logger = logging.getLogger("dbmon_pipeline")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        handler.end()
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Progress(logging.Handler):
    _drawn = False

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if record.levelno >= logging.WARNING:
            self.end()
            say(f"warning: {line}")
        elif sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
            self._drawn = True
        else:
            say(line)

    def end(self) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            self._drawn = False
