"""What a bad source is: how it is made, and what may come of a refresh from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from dbmon_pipeline.core.common.errors import ContractError, SourceError
from dbmon_pipeline_tests.helpers import execution
from dbmon_pipeline_tests.oracle import Row

AS_OF = datetime.fromisoformat("2026-02-10T12:00")
AT = datetime.fromisoformat("2026-02-10T09:30")
NOT_A_DATABASE = "is not a DuckDB database: name a DuckDB learning.db"
DAMAGED = "is damaged or cut short .*: restore it from a backup"


@dataclass(frozen=True)
class Ends:
    """What may come of it: one of some errors, or one of some states of the executions.

    Attributes:
        refused: The type of the error (or one below it), None if there must be none.
        words: What its message says, a regular expression.
        states: The executions that figures may be made from.
        anything: Whether figures need not be those of a state: the file was made to deceive.
    """

    refused: type[SourceError] | None = None
    words: str = ""
    states: tuple[list[Row], ...] = ()
    anything: bool = False


@dataclass(frozen=True)
class Case:
    """A bad source.

    Attributes:
        name: What is bad about it.
        make: Makes it at a path, and says what may come of it.
        file: Its name in its folder; an absolute one for what is there already.
    """

    name: str
    make: Callable[[Path], Ends]
    file: str = "learning.db"


def row(**values: Any) -> Row:
    """An execution whose numbers a FLOAT holds to the last digit."""
    return {**execution(AT), "cost_estimate": 0.25, "actual_cost": 0.5, **values}


def refused(words: str, kind: type[SourceError] = SourceError) -> Ends:
    """It ends in an error."""
    return Ends(kind, words)


def breaks_the_contract(words: str) -> Ends:
    """It ends in an error about the schema."""
    return Ends(ContractError, words)


def read(*rows: Row) -> Ends:
    """It ends in the figures of these executions."""
    return Ends(states=([*rows],))


def refused_or_read(words: str, *states: list[Row]) -> Ends:
    """It ends in an error, or in the figures of one of some states."""
    return Ends(SourceError, words, states)


def as_owner(path: Path, *statements: str) -> None:
    """Run statements in a database as any program would that has it."""
    with duckdb.connect(path) as con:
        for statement in statements:
            con.execute(statement)
