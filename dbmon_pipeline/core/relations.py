"""Relations: what a question's SELECT finds under the names that it reads from.

A question reads macros (``sql/macros/``), and those the summary tables. Whoever answers it gives
those names their rows: the published files, or the rollups of executions at hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache

import duckdb

from dbmon_pipeline.core.files import sql
from dbmon_pipeline.core.ranges import Window
from dbmon_pipeline.core.rollups import BY_NAME

_MACRO_FILES = ("scalars", "between")


Relate = Callable[[frozenset[str], bool], None]
"""Gives summary tables their rows; hourly ones all hours if asked for, else at least the edges."""


class Workspace:
    """A cursor in which statements find the tables and macros that they read.

    Attributes:
        cursor: The cursor.
    """

    def __init__(
        self, cursor: duckdb.DuckDBPyConnection, relate: Relate, *, has_macros: bool = False
    ) -> None:
        """Nothing is made yet.

        Args:
            cursor: A cursor of its own.
            relate: Gives summary tables their rows in the cursor.
            has_macros: Whether the macros are there already.
        """
        self.cursor = cursor
        self._relate = relate
        self._tables: dict[bool, frozenset[str]] = {False: frozenset(), True: frozenset()}
        self._macros = set(_macros()) if has_macros else set()

    def run(self, select: str, values: Mapping[str, object]) -> duckdb.DuckDBPyConnection:
        """Run a SELECT over what it reads, which is made first."""
        all_hours = "hours_between" in macros_used(select)
        have = self._tables[True] if all_hours else self._tables[True] | self._tables[False]
        if tables := tables_read(select) - have:
            self._relate(tables, all_hours)
            self._tables[all_hours] |= tables
        for name, statement in macros_used(select).items():
            if name not in self._macros:
                self.cursor.execute(f"CREATE TEMP MACRO {statement}")
                self._macros.add(name)
        return self.cursor.execute(select, dict(values))


def create_macros(con: duckdb.DuckDBPyConnection) -> None:
    """Make all macros, for every cursor; all summary tables must be there."""
    for statement in _macros().values():
        con.execute(f"CREATE OR REPLACE MACRO {statement}")


@cache
def macros_used(select: str) -> dict[str, str]:
    """The macros that a statement uses, through other macros too, in the order to make them in.

    Returns:
        Each by its name, as ``CREATE MACRO`` wants it. One over tables can only be made where the
        tables are.
    """
    used: set[str] = set()
    texts = [select]
    while texts:
        new = _words(texts.pop()) & _macros().keys() - used
        used |= new
        texts += [_body(name) for name in new]
    return {name: statement for name, statement in _macros().items() if name in used}


@cache
def tables_read(select: str) -> frozenset[str]:
    """The summary tables that a statement reads, through macros too."""
    texts = [select, *map(_body, macros_used(select))]
    return frozenset(set().union(*map(_words, texts)) & BY_NAME.keys())


def roll_up_rows(cursor: duckdb.DuckDBPyConnection, tables: frozenset[str], window: Window) -> None:
    """Make summary tables of the relation ``executions``, for this cursor alone."""
    for name in sorted(tables):
        rollup = BY_NAME[name]
        if name == "recent_executions":
            cursor.execute(
                "CREATE OR REPLACE TEMP VIEW recent_executions AS SELECT * FROM executions"
            )
            continue
        is_daily = rollup.time_column == "date"
        start, end = window.whole_days if is_daily else (window.start, window.end)
        cursor.execute(
            f"CREATE OR REPLACE TEMP TABLE {name} AS {rollup.select}",
            {"window_start": start, "window_end": end},
        )


@cache
def _macros() -> dict[str, str]:
    """The macros by name, without the words ``CREATE MACRO``; none uses a later one."""
    found = {}
    for file in _MACRO_FILES:
        for statement in duckdb.extract_statements(sql("macros", file)):
            name = re.search(r"CREATE MACRO (\w+)", statement.query)
            if name:
                found[name[1]] = statement.query[name.start(1) :].partition(";")[0]
    return found


def _body(macro: str) -> str:
    return _macros()[macro].partition(")")[2]


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", re.sub(r"--.*", "", text)))
