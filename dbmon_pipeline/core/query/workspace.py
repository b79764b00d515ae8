"""Relations under the names that a question's SELECT reads from.

A question reads macros (``sql/macros/``), and those the summary tables. Whoever answers it gives
those names their rows: the published files, or the rollups of executions at hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Self

import duckdb

from dbmon_pipeline.core.common.duck import fetch_rows
from dbmon_pipeline.core.common.instants import hour_floor
from dbmon_pipeline.core.common.rows import Rows
from dbmon_pipeline.core.common.shipped import sql
from dbmon_pipeline.core.query.ranges import Window
from dbmon_pipeline.core.schema.catalogue import DAILY_TABLE_OF, ROLLED_UP, TABLES

_MACRO_FILES = ("scalars", "cells", "between")

_SUMMARIES = frozenset(table.name for table in ROLLED_UP)

CreateTables = Callable[[frozenset[str], bool], None]
"""Gives summary tables their rows; hourly ones all hours if asked for, else at least the edges."""


class Workspace:
    """Cursor in which statements find the tables and macros that they read.

    Attributes:
        cursor: The cursor.
    """

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        create_tables: CreateTables,
        kept: Callable[[str], str] | None = None,
        errors: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Start with nothing made.

        Args:
            cursor: A cursor of its own.
            create_tables: Gives summary tables their rows in the cursor.
            kept: The table that has what a macro of ``sql/macros/cells.sql`` would say, if such
                tables are kept.
            errors: Translates the errors of reading rows.
        """
        self.cursor = cursor
        self._create_tables = create_tables
        self._kept = kept
        self._errors = errors
        self._tables: dict[bool, frozenset[str]] = {False: frozenset(), True: frozenset()}
        self._macros: set[str] = set()

    def __enter__(self) -> Self:
        """Use it as a context: closed at the end, whatever happens."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the cursor."""
        self.cursor.close()

    def rows(self, select: str, values: Mapping[str, object]) -> Rows:
        """Run a statement, and fetch its rows."""
        with self._errors():
            return fetch_rows(self.run(select, values))

    def run(self, select: str, values: Mapping[str, object]) -> duckdb.DuckDBPyConnection:
        """Run a statement over what it reads, which is made first."""
        ready = _cells() if self._kept else frozenset()
        used = macros_used(select, ready)
        all_hours = "hours_between" in used
        have = self._tables[True] if all_hours else self._tables[True] | self._tables[False]
        if tables := tables_read(select, ready) - have:
            self._create_tables(tables, all_hours)
            self._tables[all_hours] |= tables
        for name, statement in used.items():
            if name not in self._macros:
                if self._kept and name in ready:
                    statement = f"{name}(since, until) AS TABLE FROM {self._kept(name)}"
                self.cursor.execute(f"CREATE TEMP MACRO {statement}")
                self._macros.add(name)
        return self.cursor.execute(select, dict(values))


@cache
def macros_used(select: str, opaque: frozenset[str] = frozenset()) -> dict[str, str]:
    """List the macros that a statement uses, through other macros too, each after those it uses.

    Args:
        select: The statement.
        opaque: Macros through which nothing else is used.

    Returns:
        Each by its name, as ``CREATE MACRO`` wants it. One over tables can only be made where the
        tables are.
    """
    used: set[str] = set()
    texts = [select]
    while texts:
        new = _words(texts.pop()) & _macros().keys() - used
        used |= new
        texts += [_body(name) for name in new - opaque]
    return {name: statement for name, statement in _macros().items() if name in used}


@cache
def tables_read(select: str, opaque: frozenset[str] = frozenset()) -> frozenset[str]:
    """List the summary tables that a statement reads, through macros too, but for opaque ones."""
    texts = [select, *map(_body, macros_used(select, opaque).keys() - opaque)]
    return frozenset(set().union(*map(_words, texts)) & _SUMMARIES)


def roll_up_rows(cursor: duckdb.DuckDBPyConnection, tables: frozenset[str], window: Window) -> None:
    """Make summary tables of the relation ``executions``, for this cursor alone.

    A table that is made of another one has that made first: of whole hours, even where the first
    one is not of all of its executions.
    """
    first, last = window.whole_days
    daily = frozenset(DAILY_TABLE_OF.values())
    for name in _with_sources(tables):
        start, end = (first, last) if name in daily else (window.start, window.end)
        if TABLES[name].source in TABLES:
            start = hour_floor(start)
        if name == "recent_executions":
            cursor.execute(
                "CREATE OR REPLACE TEMP VIEW recent_executions AS SELECT * FROM executions"
            )
        else:
            cursor.execute(
                f"CREATE OR REPLACE TEMP TABLE {name} AS {TABLES[name].select}",
                {"window_start": start, "window_end": end},
            )


def _with_sources(tables: frozenset[str]) -> list[str]:
    """List tables, and those that they are made of, each after what it is made of."""
    wanted = set(tables) | {TABLES[name].source for name in tables}
    return [table.name for table in ROLLED_UP if table.name in wanted]


@cache
def _macros() -> dict[str, str]:
    """Read the macros by name, without the words ``CREATE MACRO``; none uses a later one."""
    return {name: text for file in _MACRO_FILES for name, text in _macros_in(file).items()}


@cache
def _cells() -> frozenset[str]:
    """List the macros that read summary tables for a range as a whole."""
    return frozenset(_macros_in("cells"))


def _macros_in(file: str) -> dict[str, str]:
    """Read the macros of a file; each ends with the first semicolon at the end of a line."""
    macros = re.finditer(r"^CREATE MACRO ((\w+).*?);$", sql("macros", file), re.M | re.S)
    return {macro[2]: macro[1] for macro in macros}


def _body(macro: str) -> str:
    return _macros()[macro].partition(")")[2]


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", re.sub(r"--.*", "", text)))
