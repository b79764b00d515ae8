"""The hour ledger: what is known of each hour of the source, in memory for one refresh.

The table ``known`` has the rows of the published ``hour_ledger``. Two sets of figures stand in a
row: what the source said of the hour (``source_executions``, ``fingerprint``), which tells whether
it has changed, and what is counted here (``executions`` and the sums), which reconciles.
"""

from __future__ import annotations

from enum import StrEnum

import duckdb

from dbmon_pipeline.core.generation.writer import DraftWriter
from dbmon_pipeline.core.schema.catalogue import HOUR_LEDGER, TABLES

KNOWN = "known"
"""The ledger as it is published, with what has become of its hours since."""
BEFORE = "known_before"
"""The ledger as it is published."""


class HourState(StrEnum):
    """State of an hour: how much of its rows the source still holds."""

    WHOLE = "whole"
    CUT = "cut"
    PRUNED = "pruned"


def load_ledger(con: duckdb.DuckDBPyConnection, writer: DraftWriter) -> None:
    """Fill ``known`` with the published ledger; it is empty where nothing is published.

    Hours whose ledger file is damaged are taken from ``hourly_summary``, as if they were pruned, so
    that what the source still holds of them is read again.

    Args:
        con: The instance, with an empty table for each published one.
        writer: Reads the generation before.
    """
    files = writer.before(HOUR_LEDGER.name)
    relation = writer.relation(HOUR_LEDGER.name, files)
    columns = ", ".join(
        row[0] for row in con.execute(f"DESCRIBE FROM {HOUR_LEDGER.name}").fetchall()
    )
    con.execute(f"CREATE OR REPLACE TABLE {KNOWN} AS FROM {HOUR_LEDGER.name} WHERE false")
    if relation:
        con.execute(f"INSERT INTO {KNOWN} BY NAME SELECT {columns} FROM {relation}")
    if any(name.startswith(f"{HOUR_LEDGER.name}/") for name in writer.damaged):
        _restore_damaged_hours(con, writer)
    con.execute(f"CREATE OR REPLACE TABLE {BEFORE} AS FROM {KNOWN}")


def _restore_damaged_hours(con: duckdb.DuckDBPyConnection, writer: DraftWriter) -> None:
    summary = TABLES["hourly_summary"].name
    relation = writer.relation(summary, writer.before(summary))
    if relation:
        con.execute(
            f"""
            INSERT INTO {KNOWN} BY NAME
            SELECT
                hour,
                '{HourState.PRUNED}' AS state,
                0 AS source_executions,
                CAST(sum(executions) AS BIGINT) AS executions,
                CAST(sum(successes) AS BIGINT) AS successes,
                CAST(sum(errors) AS BIGINT) AS errors,
                CAST(sum(duration_count) AS BIGINT) AS duration_count,
                sum(duration_sum) AS duration_sum,
                sum(actual_cost_sum) AS actual_cost_sum,
                CAST(sum(memory_count) AS BIGINT) AS memory_count,
                CAST(sum(complexity_count) AS BIGINT) AS complexity_count
            FROM {relation}
            WHERE hour NOT IN (SELECT hour FROM {KNOWN})
            GROUP BY hour
            """
        )
