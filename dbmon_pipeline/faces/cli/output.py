"""Output of the commands: data on stdout, messages about it on stderr."""

from __future__ import annotations

import csv
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum, StrEnum
from typing import NoReturn

from dbmon_pipeline.core.common.rows import Rows, plain
from dbmon_pipeline.faces.cli.tabular import table_lines


class ExitCode(IntEnum):
    """The exit codes, as monitoring plugins have them."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3
    INTERRUPTED = 130


class Format(StrEnum):
    """Format of printed rows."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def print_info(line: str) -> None:
    """Print a line about the data, on stderr."""
    sys.stderr.write(f"{line}\n")


def print_result(text: str) -> None:
    """Print what was asked for, one line or several, on stdout."""
    with _ignore_broken_pipe():
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def print_json(value: object, *, on_one_line: bool = False) -> None:
    """Print a value as JSON, on stdout."""
    indent = None if on_one_line else 1
    print_result(json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False))


def print_rows(rows: Rows, form: Format) -> None:
    """Print rows: a table for people, JSON or CSV for programs."""
    with _ignore_broken_pipe():
        _write_rows(rows, form)
        sys.stdout.flush()


def is_interrupt(error: RuntimeError) -> bool:
    """Tell whether DuckDB says in its own words that a signal has interrupted a query."""
    return str(error) == "Query interrupted"


def exit_at_once(code: ExitCode) -> NoReturn:
    """End the process at once: DuckDB may go on with a query that was interrupted, and wait for it.

    Args:
        code: The exit code.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextmanager
def _ignore_broken_pipe() -> Iterator[None]:
    """Let the reader have seen enough, as in ``dbmon show ... | head``."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write_rows(rows: Rows, form: Format) -> None:
    match form:
        case Format.JSON:
            print_json(rows.records)
        case Format.CSV:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(rows.columns)
            writer.writerows([[plain(value) for value in row] for row in rows.rows])
        case Format.TABLE:
            print_result("\n".join(table_lines(rows)))


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
            print_info(f"warning: {line}")
        elif sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
            self._drawn = True
        else:
            print_info(line)

    def end(self) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            self._drawn = False
