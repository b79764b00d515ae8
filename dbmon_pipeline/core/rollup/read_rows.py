"""Reading the rows of a chunk: copied under the guard, in our columns, with control sums.

The control sums are taken from the source apart from the copy, as of the same moment. What follows,
redaction first, needs the source no more. Names of repos, tiers and the like are numbered (ENUM),
which makes grouping by them a third cheaper.
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
INCOMING = "incoming_executions"
"""The rows of a chunk that was read, until they take the place of those before."""
CONTROLS = "controls"
"""Counts and sums by hour, taken from the source."""
DIMENSIONS = tuple(column.name for column in COLUMNS if column.role is Role.DIMENSION)
_MOST_NAMES = 5_000
"""Most different names of a dimension in a chunk for which they are numbered."""
_LONGEST_TEXT = 2_000
"""Characters of free text that are kept."""
_LONGEST_READ = 4 * _LONGEST_TEXT
"""Characters that are read: a secret must not be cut in two before it is redacted."""
LONGEST_SECONDS = 30.0
"""For how long to try to read a chunk while the source is being written."""
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
    *,
    seconds: float = LONGEST_SECONDS,
) -> ReadChunk:
    """Copy the rows of a chunk into ``incoming_executions``, and redact their texts.

    Args:
        con: The instance.
        source: The source.
        expected: Its columns when it was looked over.
        chunk: What to read.
        as_of: Rows at or after it are not read.
        redactor: What free texts lose.
        seconds: For how long to try.

    Raises:
        ContractError: A column can hardly be read, or the columns have changed meanwhile.
        SourceChangingError: The source was written too often for the chunk to be read.
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
            f" FROM memory.main.{INCOMING}"
        ).fetchall()[0]
        examples = _unreadable(cursor, source, schema, condition, values) if unreadable else []
        return int(rows), int(size), examples

    rows, size, examples = source.read(query, seconds=seconds)
    for name in TEXT_COLUMNS:
        redact_column(con, INCOMING, name, redactor)
    return ReadChunk(rows, size, tuple(examples))


def _copy(
    cursor: duckdb.DuckDBPyConnection,
    schema: SourceSchema,
    condition: str,
    values: dict[str, object],
) -> None:
    expressions = {column.name: schema.expression(column.name) for column in COLUMNS}
    for name in TEXT_COLUMNS:
        expressions[name] = f"substring({expressions[name]}, 1, {_LONGEST_READ})"
    for name in DIMENSIONS:
        if _create_type(cursor, name, expressions[name], condition, values):
            expressions[name] = f"CAST({expressions[name]} AS memory.main.{name}_names)"
    columns = ", ".join(f"{expression} AS {name}" for name, expression in expressions.items())
    cursor.execute(
        f"CREATE OR REPLACE TABLE memory.main.{INCOMING} AS SELECT {columns},"
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


def _create_type(
    cursor: duckdb.DuckDBPyConnection,
    name: str,
    expression: str,
    condition: str,
    values: dict[str, object],
) -> bool:
    """Create the ENUM of a dimension's names in a chunk; return whether there is one."""
    names = f"memory.main.{name}_of_chunk"
    cursor.execute(
        f"CREATE OR REPLACE TABLE {names} AS SELECT DISTINCT {expression} AS name"
        f" FROM source.main.executions WHERE {condition} LIMIT {_MOST_NAMES + 1}",
        values,
    )
    (count,) = cursor.execute(f"SELECT count(*) FROM {names}").fetchall()[0]
    is_small = 0 < int(count) <= _MOST_NAMES
    if is_small:
        cursor.execute(
            f"CREATE OR REPLACE TYPE memory.main.{name}_names AS ENUM (SELECT name FROM {names})"
        )
    cursor.execute(f"DROP TABLE {names}")
    return is_small


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


def redact_column(
    con: duckdb.DuckDBPyConnection, table: str, column: str, redactor: Redactor
) -> int:
    """Redact a column of free text and cut it; return how many rows changed.

    Each text is matched once. The texts that must change are found in a statement of their own,
    because the optimizer would match every row instead of every text.
    """
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
