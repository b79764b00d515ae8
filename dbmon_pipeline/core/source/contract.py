"""The schema contract: what a source's ``executions`` must have, and SQL that reads what it has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from dbmon_pipeline.core.common.errors import ContractError
from dbmon_pipeline.core.schema.executions import COLUMNS, Column, Role

_INSTANT_TYPES = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS")
_FLOATING_TYPES = ("FLOAT", "DOUBLE")
_TEXT_TYPES = ("VARCHAR", "ENUM", "JSON")
_NUMBER_TYPES = (
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "DECIMAL", "BOOLEAN"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", *_FLOATING_TYPES),
)
_READABLE_AS = {
    "BIGINT": (*_NUMBER_TYPES, *_TEXT_TYPES),
    "DOUBLE": (*_NUMBER_TYPES, *_TEXT_TYPES),
    "BOOLEAN": (*_NUMBER_TYPES, *_TEXT_TYPES),
    "TIMESTAMP": (*_INSTANT_TYPES, "TIMESTAMP WITH TIME ZONE", "DATE", *_TEXT_TYPES),
}
"""From which types each of ours can be cast; VARCHAR from all. DuckDB binds any cast, and refuses
it only for a value."""
_SMALL_TYPES = ("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER")
_LARGEST = "1e12"
"""No measurement lies beyond it either way, and the sum of any number of such ones fits its type;
31,000 years in seconds, a trillion USD."""
_FINGERPRINT_FORMULA = 1
"""Goes up when :attr:`SourceSchema.row_hash` or the list of columns changes."""
_REMEDY = "the schema contract is in sql/source/executions.sql"


@dataclass(frozen=True)
class SourceSchema:
    """Schema of a source: the columns of ours that it has.

    Attributes:
        types: Their DuckDB types by name.
        is_versioned: Whether there is a table ``metadata`` that may tell its version.
    """

    types: Mapping[str, str]
    is_versioned: bool

    @property
    def missing(self) -> tuple[str, ...]:
        """The optional columns that the source does not have."""
        return tuple(column.name for column in COLUMNS if column.name not in self.types)

    def at_or_after(self, parameter: str) -> str:
        """SQL for "the row's timestamp is at or after this parameter".

        The parameter is converted rather than the column, so that DuckDB skips row groups by their
        minimum and maximum.
        """
        kind = self.types["timestamp"]
        if kind in _INSTANT_TYPES:
            return f'("timestamp" >= CAST(${parameter} AS TIMESTAMP))'
        if kind == "TIMESTAMP WITH TIME ZONE":
            return f'("timestamp" >= CAST(CAST(${parameter} AS TIMESTAMP) AS TIMESTAMPTZ))'
        return f"({self.expression('timestamp')} >= CAST(${parameter} AS TIMESTAMP))"

    def between(self, start: str, end: str) -> str:
        """SQL for "the row's timestamp lies in ``[start, end)``", both names of parameters."""
        return f"({self.at_or_after(start)} AND NOT {self.at_or_after(end)})"

    def expression(self, name: str) -> str:
        """SQL that turns the source's column into ours, NULL if the source does not have it."""
        column = next(column for column in COLUMNS if column.name == name)
        kind = self.types.get(name)
        value = _value(column, kind) if kind else f"CAST(NULL AS {column.type})"
        return f"coalesce({value}, 'unknown')" if column.role is Role.DIMENSION else value

    @property
    def row_hash(self) -> str:
        """SQL for the hash of a row as the source stores it, over the columns that we take.

        Hashed once more, because DuckDB combines the hashes of several values without mixing them,
        and the sum over rows must not cancel out.
        """
        columns = ", ".join(f'"{name}"' for name in self.types)
        return f"hash(hash({columns}))"

    @property
    def lossy(self) -> dict[str, str]:
        """SQL that tells for a column whether its value cannot be read; only where that may be."""
        return {
            column.name: f'("{column.name}" IS NOT NULL AND {_is_unreadable(column, kind)})'
            for column in COLUMNS
            if (kind := self.types.get(column.name)) is not None and _may_fail(column, kind)
        }

    @property
    def unreadable(self) -> str:
        """SQL for how many of a row's values cannot be read."""
        return " + ".join(f"CAST({test} AS INTEGER)" for test in self.lossy.values()) or "0"

    @property
    def not_finite(self) -> str:
        """SQL for how many of a row's numbers are NaN, infinite, or as good as that."""
        tests = [
            f"coalesce(NOT {_is_finite(column)}, false)"
            for column in COLUMNS
            if _may_be_infinite(column, self.types.get(column.name))
        ]
        if not tests:
            return "0"
        counts = " + ".join(f"CAST({test} AS INTEGER)" for test in tests)
        return f"CASE WHEN {' OR '.join(tests)} THEN {counts} ELSE 0 END"


def fingerprint_version(types: Mapping[str, str]) -> str:
    """Tell the version of the fingerprints of hours: equal rows have equal ones only within it.

    Args:
        types: The source's types of our columns.
    """
    digest = hashlib.sha256(repr(sorted(types.items())).encode()).hexdigest()[:16]
    return f"{_FINGERPRINT_FORMULA}:{duckdb.__version__.partition('.')[0]}:{digest}"


def inspect(con: duckdb.DuckDBPyConnection, path: Path, *, is_ours: bool) -> SourceSchema:
    """Read the schema of the source that is attached as ``source``.

    A view that is not ours may read other files, so it is no table. The first look of an instance
    takes 5 ms longer, since DuckDB then defines its own views.

    Raises:
        ContractError: There is no such table, or a column is missing or of an unusable type.
    """
    names = con.execute(
        "SELECT lower(table_name) FROM duckdb_tables()"
        " WHERE database_name = 'source' AND schema_name = 'main'"
    ).fetchall()
    tables = {name for (name,) in names}
    if "executions" not in tables and not is_ours:
        raise ContractError(
            f"{path} has no table 'executions'", remedy="name the orchestrator's learning.db"
        )
    columns = con.execute("DESCRIBE source.main.executions").fetchall()
    found = {name.lower(): kind for name, kind, *_ in columns}
    if absent := [c.name for c in COLUMNS if c.required and c.name not in found]:
        raise ContractError(
            f"{path}: executions has no column {', '.join(map(repr, absent))}",
            remedy=f"add {'it' if len(absent) == 1 else 'them'}; {_REMEDY}",
        )
    types = {column.name: found[column.name] for column in COLUMNS if column.name in found}
    for column in COLUMNS:
        if column.name in types and not _is_readable(types[column.name], column.type):
            raise ContractError(
                f"{path}: executions.{column.name} is {types[column.name]},"
                f" which cannot be read as {column.type}",
                remedy=f"change its type; {_REMEDY}",
            )
    return SourceSchema(types, is_versioned="metadata" in tables)


def _is_readable(source_type: str, ours: str) -> bool:
    base = source_type if source_type.endswith("]") else source_type.split("(")[0]
    return ours == "VARCHAR" or base in _READABLE_AS[ours]


def _value(column: Column, source_type: str) -> str:
    cast = _cast(column, source_type)
    if _may_be_infinite(column, source_type):
        return f"CASE WHEN {_is_finite(column)} THEN {cast} END"
    return cast


def _is_unreadable(column: Column, source_type: str) -> str:
    """Write the test of a known value; one that is not finite is counted as such alone."""
    test = f"{_value(column, source_type)} IS NULL"
    if _may_be_infinite(column, source_type):
        test += f" AND {_is_finite(column)} IS NOT FALSE"
    return test


def _cast(column: Column, source_type: str) -> str:
    """Write the cast of a column to our type, NULL for a value that cannot be read."""
    name = f'"{column.name}"'
    if source_type == column.type:
        return name
    if column.type == "TIMESTAMP" and source_type not in _INSTANT_TYPES:
        return f"CAST(TRY_CAST({name} AS TIMESTAMPTZ) AS TIMESTAMP)"  # heeds an offset in a text
    return f"TRY_CAST({name} AS {column.type})"


def _may_fail(column: Column, source_type: str) -> bool:
    """Tell whether a column of that type may hold values that cannot be read as ours."""
    return column.type != "VARCHAR" and source_type.split("(")[0] in _TEXT_TYPES


def _may_be_infinite(column: Column, source_type: str | None) -> bool:
    if column.type == "BOOLEAN":
        return source_type in _FLOATING_TYPES
    return column.type in ("BIGINT", "DOUBLE") and source_type not in (None, *_SMALL_TYPES)


def _is_finite(column: Column) -> str:
    return f'(TRY_CAST("{column.name}" AS DOUBLE) BETWEEN -{_LARGEST} AND {_LARGEST})'
