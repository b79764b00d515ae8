"""The layout of the warehouse: its tables, and what becomes of those of an older version.

A table that gained columns gets them. A summary table whose SELECT has changed is made anew from
the raw rows that are kept; older days keep the figures that they have.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from dbmon_pipeline.core.common.duck import CATALOGUE, connect
from dbmon_pipeline.core.common.errors import HomeError
from dbmon_pipeline.core.schema.catalogue import CHECK_HISTORY, REFRESH_HISTORY
from dbmon_pipeline.core.schema.rollups import ROLLUPS, Rollup
from dbmon_pipeline.core.warehouse.warehouse import (
    CHECK_HISTORY_COLUMNS,
    EXECUTIONS_COLUMNS,
    LEDGER_COLUMNS,
    REFRESH_HISTORY_COLUMNS,
    Stage,
    State,
    Warehouse,
)

LAYOUT_VERSION = 1
"""The version of the tables below; a warehouse of a newer one is refused."""

_TABLES = {
    # The slim rows. `pruned`: the source no longer holds this row, because its owner removed all
    # rows of that age; it stays.
    "executions": f"{EXECUTIONS_COLUMNS}, pruned BOOLEAN",
    # What the source said of an hour when it was last read: how many rows, the sum of their
    # hashes (NULL: to be read again), and control totals taken in the same attach as the copy.
    "hour_ledger": LEDGER_COLUMNS,
    # Hours of which rows were pruned: once their raw rows have left the warehouse too, such an
    # hour can never be read again.
    "pruned_hours": "hour TIMESTAMP",
    # What refreshes read of the source, and how long they held it.
    "refresh_history": REFRESH_HISTORY_COLUMNS,
    # What the rules said, by evaluation.
    "check_history": CHECK_HISTORY_COLUMNS,
    "pending_days": "table_name VARCHAR, day DATE, stage VARCHAR",
    "state": "name VARCHAR, value VARCHAR",
}
"""Their columns."""


def lay_out(warehouse: Warehouse) -> None:
    """Give a warehouse the tables of this version; inside a transaction.

    Raises:
        HomeError: It was made by a newer version of this project.
    """
    con = warehouse.con
    for table, columns in _TABLES.items():
        con.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns})")
    version = warehouse.state(State.LAYOUT_VERSION)
    if version is None:
        warehouse.set_state(State.LAYOUT_VERSION, str(LAYOUT_VERSION))
    elif int(version) > LAYOUT_VERSION:
        raise HomeError(
            f"{warehouse.path} was made by a newer version of dbmon (layout {version},"
            f" this one knows {LAYOUT_VERSION})",
            remedy="upgrade dbmon-pipeline, or name another home",
        )
    _add_columns(warehouse)
    selects = dict(
        con.execute("SELECT name, value FROM state WHERE name LIKE 'select:%'").fetchall()
    )
    for rollup in ROLLUPS:
        name = f"select:{rollup.name}"
        digest = hashlib.sha256(rollup.select.encode()).hexdigest()
        if selects.get(name) != digest:
            _remake(warehouse, rollup, exists=name in selects)
            con.execute("DELETE FROM state WHERE name = $name", {"name": name})
            con.execute("INSERT INTO state VALUES ($name, $d)", {"name": name, "d": digest})


def _add_columns(warehouse: Warehouse) -> None:
    """Add the columns that tables of an older version do not have."""
    con = warehouse.con
    there = set(
        con.execute(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = $name",
            {"name": CATALOGUE},
        ).fetchall()
    )
    for table, columns in _TABLES.items():
        for column in columns.split(", "):
            if (table, column.split()[0]) not in there:
                con.execute(f"ALTER TABLE {table} ADD COLUMN {column}")


def _remake(warehouse: Warehouse, rollup: Rollup, *, exists: bool) -> None:
    """Give a table the columns of its SELECT, and have the kept days rolled up anew.

    Days whose raw rows have left keep the figures that they have.
    """
    con = warehouse.con
    table, before = rollup.name, f"{rollup.name}_before"
    if exists:
        con.execute(f"ALTER TABLE {table} RENAME TO {before}")
    start = datetime.min
    con.execute(
        f"CREATE TABLE {table} AS SELECT * FROM ({rollup.select}) LIMIT 0",
        {"window_start": start, "window_end": start},
    )
    if exists:
        old, new = (
            [row[0] for row in con.execute(f"DESCRIBE {t}").fetchall()] for t in (before, table)
        )
        common = ", ".join(column for column in new if column in old)
        con.execute(f"INSERT INTO {table} BY NAME SELECT {common} FROM {before}")
        con.execute(f"DROP TABLE {before}")
    if rollup.window is None:
        for stage, days_of in (
            (Stage.ROLL_UP, "SELECT CAST(timestamp AS DATE) FROM executions"),
            (Stage.PUBLISH, f"SELECT CAST({rollup.time_column} AS DATE) FROM {table}"),
        ):
            days = {day for (day,) in con.execute(f"SELECT DISTINCT * FROM ({days_of})").fetchall()}
            warehouse.add_pending([table], days, stage)


def table_columns() -> dict[str, list[tuple[str, str]]]:
    """The columns of each published table and their types, as DuckDB derives them."""
    window = dict.fromkeys(("window_start", "window_end"), datetime.min)
    with connect() as con:
        con.execute(f"CREATE TABLE executions ({EXECUTIONS_COLUMNS})")
        described = {
            rollup.name: con.execute(f"DESCRIBE {rollup.select}", window).fetchall()
            for rollup in ROLLUPS
        }
        for name in (REFRESH_HISTORY.name, CHECK_HISTORY.name):
            con.execute(f"CREATE TABLE {name} ({_TABLES[name]})")
            described[name] = con.execute(f"DESCRIBE {name}").fetchall()
        return {name: [(row[0], row[1]) for row in rows] for name, rows in described.items()}
