"""Reading the rows of a chunk: copied under the guard, in our columns, with control sums.

The control sums are taken from the source apart from the copy, as of the same moment. What follows,
redaction first, needs the source no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import duckdb

from dbmon_pipeline.core.common.errors import ContractError
from dbmon_pipeline.core.rollup.chunks import Chunk
from dbmon_pipeline.core.schema.executions import COLUMNS, Role
from dbmon_pipeline.core.schema.manifest import BadValue
from dbmon_pipeline.core.source.contract import SourceSchema, inspect
from dbmon_pipeline.core.source.kinds import Source
from dbmon_pipeline.core.source.redaction import TEXT_COLUMNS, Redactor

ROWS = "executions"
"""The rows of the chunk, in our columns, under the name that the rollups read from."""
CONTROLS = "controls"
"""Counts and sums by hour, taken from the source."""
_LONGEST_TEXT = 2_000
"""Characters of free text that are kept."""
_LONGEST_READ = 4 * _LONGEST_TEXT
"""Characters that are read: a secret must not be cut in two before it is redacted."""
_MOST_EXAMPLES = 20
_LEAST_UNREADABLE = 20
"""Fewest unreadable values for which a column is called unreadable."""


@dataclass(frozen=True)
class ReadChunk:
    """Result of reading a chunk, besides the tables that it filled.

    Attributes:
        rows: How many rows.
        text_bytes: The size of their free texts.
        bad_values: Examples of values that could not be read.
    """

    rows: int
    text_bytes: int
    bad_values: tuple[BadValue, ...]


def read_chunk(
    con: duckdb.DuckDBPyConnection,
    source: Source,
    expected: SourceSchema,
    chunk: Chunk,
    as_of: datetime,
    redactor: Redactor,
) -> ReadChunk:
    """Copy the rows of a chunk into ``executions``, and redact their texts.

    Args:
        con: The instance.
        source: The source.
        expected: Its columns when it was looked over.
        chunk: What to read.
        as_of: Rows at or after it are not read.
        redactor: What free texts lose.

    Raises:
        ContractError: A column can hardly be read, or the columns have changed meanwhile.
        SourceError: The source cannot be read.
    """

    def query(cursor: duckdb.DuckDBPyConnection) -> tuple[int, int, list[BadValue]]:
        schema = inspect(cursor, source.path, is_ours=source.is_ours)
        if schema.types != expected.types:
            raise ContractError(
                f"{source.path}: the columns of executions changed while it was read",
                remedy="repeat; the last published data stays",
            )
        condition, values = _within(schema, chunk, as_of)
        _copy(cursor, schema, condition, values)
        rows, size, unreadable = cursor.execute(
            "SELECT count(*), coalesce(CAST(sum("
            + " + ".join(f"coalesce(strlen({name}), 0)" for name in TEXT_COLUMNS)
            + f") AS BIGINT), 0), coalesce(CAST(sum(unreadable) AS BIGINT), 0)"
            f" FROM memory.main.{ROWS}"
        ).fetchall()[0]
        examples = _unreadable(cursor, source, schema, condition, values) if unreadable else []
        return int(rows), int(size), examples

    rows, size, examples = source.read(query, seconds=30.0)
    _redact(con, redactor)
    return ReadChunk(rows, size, tuple(examples))


def _copy(
    cursor: duckdb.DuckDBPyConnection,
    schema: SourceSchema,
    condition: str,
    values: dict[str, object],
) -> None:
    columns = ", ".join(
        f"substring({schema.expression(column.name)}, 1, {_LONGEST_READ}) AS {column.name}"
        if column.role is Role.TEXT
        else f"{schema.expression(column.name)} AS {column.name}"
        for column in COLUMNS
    )
    cursor.execute(
        f"CREATE OR REPLACE TABLE memory.main.{ROWS} AS SELECT {columns},"
        f" {schema.row_hash} AS row_hash, CAST({schema.not_finite} AS BIGINT) AS not_finite,"
        f" CAST({schema.unreadable} AS BIGINT) AS unreadable, true AS is_in_source"
        f" FROM source.main.executions WHERE {condition}",
        values,
    )
    cursor.execute(
        f"""
        CREATE OR REPLACE TABLE memory.main.{CONTROLS} AS
        SELECT
            date_trunc('hour', {schema.expression("timestamp")}) AS hour,
            count(*) AS executions,
            count(*) FILTER (WHERE {schema.expression("success")}) AS successes,
            sum({schema.expression("duration_seconds")}) AS duration_sum,
            sum({schema.expression("actual_cost")}) AS actual_cost_sum
        FROM source.main.executions WHERE {condition} GROUP BY 1
        """,
        values,
    )


def _within(schema: SourceSchema, chunk: Chunk, as_of: datetime) -> tuple[str, dict[str, object]]:
    """Write the condition that a row lies in a chunk; the outer bounds skip row groups."""
    values: dict[str, object] = {"since": chunk.start, "until": min(chunk.end, as_of)}
    condition = schema.between("since", "until")
    if len(chunk.stretches) > 1:
        parts = []
        for number, (start, end) in enumerate(chunk.stretches):
            values |= {f"start_{number}": start, f"end_{number}": min(end, as_of)}
            parts.append(schema.between(f"start_{number}", f"end_{number}"))
        condition += f" AND ({' OR '.join(parts)})"
    return condition, values


def _unreadable(
    cursor: duckdb.DuckDBPyConnection,
    source: Source,
    schema: SourceSchema,
    condition: str,
    values: dict[str, object],
) -> list[BadValue]:
    """Find examples of values that cannot be read.

    Raises:
        ContractError: Most values of a column cannot be.
    """
    examples: list[BadValue] = []
    for name, is_unreadable in schema.lossy.items():
        count, known = cursor.execute(
            f'SELECT count(*) FILTER (WHERE {is_unreadable}), count("{name}")'
            f" FROM source.main.executions WHERE {condition}",
            values,
        ).fetchall()[0]
        found = cursor.execute(
            f'SELECT left(CAST("{name}" AS VARCHAR), 100), {schema.expression("task_id")}'
            f" FROM source.main.executions WHERE {condition} AND {is_unreadable} LIMIT $most",
            values | {"most": _MOST_EXAMPLES - len(examples)},
        ).fetchall()
        examples += [BadValue(column=name, value=value, task_id=task) for value, task in found]
        if count >= _LEAST_UNREADABLE and count * 2 > known:
            raise ContractError(
                f"{source.path}: {count:,} of {known:,} values of executions.{name} cannot be read,"
                f" for instance {examples[-1].value!r}",
                remedy="correct the column; the schema contract is in sql/source/executions.sql",
            )
    return examples


def _redact(con: duckdb.DuckDBPyConnection, redactor: Redactor) -> None:
    """Take secrets out of free texts, and cut these.

    Each text is matched once. The texts that must change are found in a statement of their own,
    because the optimizer would match every row instead of every text.
    """
    for name in TEXT_COLUMNS:
        redact_column(con, ROWS, name, redactor)


def redact_column(
    con: duckdb.DuckDBPyConnection, table: str, column: str, redactor: Redactor
) -> int:
    """Redact a column of free text; return how many rows changed."""
    clean = f"substring({redactor.expression('text')}, 1, {_LONGEST_TEXT})"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE texts AS SELECT DISTINCT {column} AS text FROM {table}"
        f" WHERE {column} IS NOT NULL"
    )
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE cleaned AS SELECT text, {clean} AS clean FROM texts"
        f" WHERE {clean} <> text"
    )
    (changes,) = con.execute("SELECT count(*) FROM cleaned").fetchall()[0]
    if changes:
        con.execute(
            f"UPDATE {table} SET {column} = cleaned.clean FROM cleaned"
            f" WHERE {table}.{column} = cleaned.text"
        )
    con.execute("DROP TABLE texts; DROP TABLE cleaned")
    return int(changes)
