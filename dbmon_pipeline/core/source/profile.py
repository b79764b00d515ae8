"""A glance at an attached source: how many rows are monitored, how many not, and since when.

Its owner waits meanwhile, so that each glance is one statement, whose parts skip row groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from dbmon_pipeline.core.source.contract import SourceSchema

FUTURE_TOLERANCE = timedelta(minutes=5)
"""How far a clock may run ahead before its rows count as wrong."""


@dataclass(frozen=True)
class Overview:
    """What a glance at the source says.

    Attributes:
        schema_version: What the source says of itself in its table ``metadata``, if it does.
        rows: How many rows are monitored: from the start of the history up to as_of.
        oldest: The timestamp of its oldest monitored row, None if there is none.
        future_rows: Rows at or after as_of: not extracted yet.
        far_future_rows: Those of them more than five minutes after it.
        too_old_rows: Rows before the start of the history: never extracted.
        rows_without_timestamp: Rows that belong to no hour: never extracted.
        missing_columns: Optional columns that the source does not have.
    """

    schema_version: int | None
    rows: int
    oldest: datetime | None
    future_rows: int
    far_future_rows: int
    too_old_rows: int
    rows_without_timestamp: int
    missing_columns: tuple[str, ...]


def look_over(
    con: duckdb.DuckDBPyConnection, schema: SourceSchema, history_start: datetime, as_of: datetime
) -> Overview:
    """Glance at all of it.

    Raises:
        duckdb.Error: It cannot be read.
    """
    conditions = (
        "true",
        schema.at_or_after("as_of"),
        schema.at_or_after("far"),
        f"NOT {schema.at_or_after('start')}",
        f"{schema.expression('timestamp')} IS NULL",
    )
    counts = ", ".join(
        f"(SELECT count(*) FROM source.main.executions WHERE {condition})"
        for condition in conditions
    )
    ((oldest, total, future, far_future, too_old, timeless),) = con.execute(
        f"SELECT ({_oldest(schema)}), {counts}",
        {"start": history_start, "as_of": as_of, "far": as_of + FUTURE_TOLERANCE},
    ).fetchall()
    return Overview(
        schema_version=_version(con) if schema.is_versioned else None,
        rows=total - future - too_old - timeless,
        oldest=oldest,
        future_rows=future,
        far_future_rows=far_future,
        too_old_rows=too_old,
        rows_without_timestamp=timeless,
        missing_columns=schema.missing,
    )


def oldest_row(
    con: duckdb.DuckDBPyConnection, schema: SourceSchema, history_start: datetime, as_of: datetime
) -> datetime | None:
    """The timestamp of the oldest monitored row, None if there is none.

    Raises:
        duckdb.Error: It cannot be read.
    """
    found = con.execute(_oldest(schema), {"start": history_start, "as_of": as_of}).fetchone()
    return found[0] if found else None


def _oldest(schema: SourceSchema) -> str:
    return (
        f"SELECT {schema.expression('timestamp')} FROM source.main.executions"
        f" WHERE {schema.between('start', 'as_of')} ORDER BY 1 LIMIT 1"
    )


def _version(con: duckdb.DuckDBPyConnection) -> int | None:
    """What the table ``metadata`` says; None if it has no such columns or row."""
    try:
        found = con.execute(
            "SELECT TRY_CAST(value AS BIGINT) FROM source.main.metadata"
            " WHERE CAST(key AS VARCHAR) = 'schema_version'"
        ).fetchone()
    except duckdb.BinderException:
        return None
    return found[0] if found else None
