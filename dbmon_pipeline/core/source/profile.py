"""A look over an attached source: how many rows are monitored, how many not, and since when."""

from __future__ import annotations

from datetime import datetime, timedelta

import duckdb

from dbmon_pipeline.core.schema.manifest import SourceProfile
from dbmon_pipeline.core.source.contract import SourceSchema
from dbmon_pipeline.core.source.kinds import Source

FUTURE_TOLERANCE = timedelta(minutes=5)
"""Time that a clock may run ahead before its rows count as wrong."""


def look_over(
    con: duckdb.DuckDBPyConnection,
    source: Source,
    schema: SourceSchema,
    history_start: datetime,
    as_of: datetime,
) -> SourceProfile:
    """Look over a source that is attached, in one statement whose parts skip row groups.

    Raises:
        SourceError: The file is gone.
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
        f"SELECT (SELECT {schema.expression('timestamp')} FROM source.main.executions"
        f" WHERE {schema.between('start', 'as_of')} ORDER BY 1 LIMIT 1), {counts}",
        {"start": history_start, "as_of": as_of, "far": as_of + FUTURE_TOLERANCE},
    ).fetchall()
    size, inode = source.size_and_inode()
    return SourceProfile(
        path=str(source.path),
        inode=inode,
        size_bytes=size,
        read_as=source.read_as,
        columns=dict(schema.types),
        schema_version=_version(con) if schema.is_versioned else None,
        rows=total - future - too_old - timeless,
        oldest=oldest,
        future_rows=future,
        far_future_rows=far_future,
        too_old_rows=too_old,
        rows_without_timestamp=timeless,
        missing_columns=schema.missing,
    )


def _version(con: duckdb.DuckDBPyConnection) -> int | None:
    """Read what the table ``metadata`` says; None if it has no such columns or row."""
    try:
        found = con.execute(
            "SELECT TRY_CAST(value AS BIGINT) FROM source.main.metadata"
            " WHERE CAST(key AS VARCHAR) = 'schema_version'"
        ).fetchone()
    except duckdb.BinderException:
        return None
    return found[0] if found else None
