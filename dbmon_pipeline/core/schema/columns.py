"""Columns of every published table, as DuckDB derives them from the SELECTs."""

from __future__ import annotations

from datetime import datetime

import duckdb

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.schema.catalogue import (
    CHECK_HISTORY,
    HOUR_LEDGER,
    REFRESH_HISTORY,
    ROLLED_UP,
)
from dbmon_pipeline.core.schema.executions import COLUMNS

ROW_COLUMNS = ", ".join(f"{column.name} {column.type}" for column in COLUMNS)
"""DDL of the columns of an execution."""
_READING_COLUMNS = "row_hash UBIGINT, not_finite BIGINT, unreadable BIGINT, is_in_source BOOLEAN"
"""The facts that are noted of a row while it is read."""
HISTORY_COLUMNS = {
    REFRESH_HISTORY.name: "as_of TIMESTAMP, data_through TIMESTAMP, rows_read BIGINT,"
    " hours_changed BIGINT, late_rows BIGINT, rows_gone BIGINT, unrepairable_hours BIGINT,"
    " read_as VARCHAR, readings BIGINT, readings_thrown_away BIGINT, bytes_read BIGINT",
    CHECK_HISTORY.name: "rule VARCHAR, scope VARCHAR, evaluated_at TIMESTAMP, value DOUBLE,"
    " samples BIGINT, warning DOUBLE, critical DOUBLE, verdict VARCHAR, direction VARCHAR,"
    " mode VARCHAR, raw_value DOUBLE, raw_samples BIGINT, raw_verdict VARCHAR,"
    " is_recovered BOOLEAN, window_start TIMESTAMP, window_end TIMESTAMP, sentence VARCHAR",
}
"""DDL of the tables that have no SELECT."""


def create_empty_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Create an empty table for each published one, and those that their SELECTs read from."""
    con.execute(f"CREATE TABLE executions ({ROW_COLUMNS}, {_READING_COLUMNS})")
    con.execute("CREATE TABLE pattern_texts (repo VARCHAR, pattern_key BIGINT, text VARCHAR)")
    window = dict.fromkeys(("window_start", "window_end"), datetime.min)
    for table in (HOUR_LEDGER, *ROLLED_UP):
        con.execute(f"CREATE TABLE {table.name} AS SELECT * FROM ({table.select}) LIMIT 0", window)
    for name, columns in HISTORY_COLUMNS.items():
        con.execute(f"CREATE TABLE {name} ({columns})")


def table_columns() -> dict[str, list[tuple[str, str]]]:
    """Describe the columns of each published table: their names and DuckDB types."""
    names = [HOUR_LEDGER.name, *(table.name for table in ROLLED_UP), *HISTORY_COLUMNS]
    with connect() as con:
        create_empty_tables(con)
        return {
            name: [(row[0], row[1]) for row in con.execute(f"DESCRIBE {name}").fetchall()]
            for name in names
        }
