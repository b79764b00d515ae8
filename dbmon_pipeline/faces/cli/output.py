"""What the commands print: data on stdout, what is about it on stderr."""

from __future__ import annotations

import csv
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import IntEnum, StrEnum

from dbmon_pipeline.core.rows import Rows, plain

_WIDEST_CELL = 40


class ExitCode(IntEnum):
    """The exit codes, as monitoring plugins have them."""

    OK = 0
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


def put(line: str) -> None:
    """Print a line of what was asked for, on stdout."""
    sys.stdout.write(f"{line}\n")


def put_rows(rows: Rows, form: Format) -> None:
    """Print rows: a table for people, JSON or CSV for programs."""
    try:
        _put_rows(rows, form)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough, as in `dbmon show ... | head`
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
            _put_table(rows)


def _put_table(rows: Rows) -> None:
    cells = [rows.columns, *(tuple(_cell(value) for value in row) for row in rows.rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(rows.columns))]
    numeric = [
        all(isinstance(row[column], int | float | None) for row in rows.rows)
        for column in range(len(rows.columns))
    ]
    for row in cells:
        line = "  ".join(
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(row, widths, numeric, strict=True)
        )
        put(line.rstrip())


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
    return text if len(text) <= _WIDEST_CELL else f"{text[: _WIDEST_CELL - 1]}…"


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
