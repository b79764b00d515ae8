"""SQL of the archive: rows as Parquet carries them, their hash before and after, their deletion."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import duckdb

from dbmon_pipeline.core.common.duck import quoted
from dbmon_pipeline.core.source.contract import SourceSchema

_NOT_IN_PARQUET = re.compile(r"\b(U?HUGEINT|INTERVAL|TIME WITH TIME ZONE)\b")
"""Types that DuckDB writes to Parquet with a loss; such a column is written as text."""


@dataclass(frozen=True)
class AllColumns:
    """Columns of a source, including those that are not monitored.

    Attributes:
        types: Their DuckDB types by name, in the order of the table.
    """

    types: Mapping[str, str]

    @classmethod
    def of_source(cls, con: duckdb.DuckDBPyConnection) -> Self:
        """Describe the source that is attached as ``source``."""
        rows = con.execute("DESCRIBE source.main.executions").fetchall()
        return cls({str(name): str(kind) for name, kind, *_ in rows})

    @property
    def as_written(self) -> str:
        """SQL for the list of them in a file."""
        return ", ".join(
            f"CAST({_name(name)} AS VARCHAR) AS {_name(name)}"
            if _NOT_IN_PARQUET.search(kind)
            else _name(name)
            for name, kind in self.types.items()
        )

    @property
    def row_hash(self) -> str:
        """SQL for the hash of a row of the source; hashed once more, for the sum over rows."""
        return f"hash(hash({', '.join(map(_name, self.types))}))"

    @property
    def row_hash_of_file(self) -> str:
        """SQL for the same hash of a row in a file, with its values cast back to their types."""
        values = (f"CAST({_name(name)} AS {kind})" for name, kind in self.types.items())
        return f"hash(hash({', '.join(values)}))"


def delete_statements(schema: SourceSchema, start: datetime, end: datetime, rows: int) -> str:
    """Write SQL with which the owner may delete ``[start, end)``, if it has as many rows still.

    Args:
        schema: The columns of the source.
        start: The beginning.
        end: The end, not included.
        rows: How many rows that must be.
    """
    where = schema.between("start", "before")
    for name, instant in (("start", start), ("before", end)):
        where = where.replace(f"${name}", quoted(instant.isoformat(" ")))
    refusal = quoted(f"there are not {rows} rows to delete: ROLLBACK, and run dbmon archive again")
    return "\n".join(
        [
            f"-- Deletes {rows} rows, or none if there are more or fewer by now.",
            "SET TimeZone = 'UTC';",
            "BEGIN TRANSACTION;",
            f"SELECT CASE WHEN count(*) = {rows} THEN count(*) ELSE error({refusal}) END"
            f" AS rows_to_delete FROM executions WHERE {where};",
            f"DELETE FROM executions WHERE {where};",
            "COMMIT;",
            "CHECKPOINT;",
        ]
    )


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
