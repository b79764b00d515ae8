"""Duplicate task ids: told within a day, and across the days of ``recent_executions``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import duckdb

from dbmon_pipeline.core.rollup.read_rows import ROWS
from dbmon_pipeline.core.schema.catalogue import HOUR_LEDGER


def count_within_days(con: duckdb.DuckDBPyConnection, rows: str = ROWS) -> str | None:
    """Note in ``hour_ledger`` how many rows of each hour repeat an id of an earlier row of the day.

    Args:
        con: The instance, with the hours of the rows in ``hour_ledger``.
        rows: The table of the rows; all those of a day.

    Returns:
        The first of these ids, None if there is none.
    """
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE repeated AS
        SELECT CAST(timestamp AS DATE) AS date, hash(task_id) AS id FROM {rows}
        WHERE task_id IS NOT NULL GROUP BY ALL HAVING count(*) > 1
        """
    )
    if not con.execute("FROM repeated LIMIT 1").fetchone():
        return None
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE later AS
        SELECT date_trunc('hour', timestamp) AS hour, task_id FROM {rows}
        WHERE (CAST(timestamp AS DATE), hash(task_id)) IN (SELECT (date, id) FROM repeated)
        QUALIFY row_number() OVER (
            PARTITION BY task_id, CAST(timestamp AS DATE) ORDER BY timestamp
        ) > 1
        """
    )
    con.execute(
        f"UPDATE {HOUR_LEDGER.name} AS l SET duplicate_task_ids = d.n FROM"
        " (SELECT hour, count(*) AS n FROM later GROUP BY hour) AS d WHERE l.hour = d.hour"
    )
    found = con.execute("SELECT min(task_id) FROM later").fetchone()
    return found[0] if found else None


def count_across_days(
    con: duckdb.DuckDBPyConnection, recent: str, days: Sequence[date]
) -> tuple[int, str | None]:
    """Count the ids that stand on more than one of the recent days.

    Args:
        con: The instance.
        recent: SQL that reads ``recent_executions``.
        days: Those of its days that were read again; ids that stand on none of them are not new.

    Returns:
        How many ids, and the first of them.
    """
    if not days:
        return 0, None
    rows = con.execute(
        f"""
        SELECT hash(task_id) AS id FROM {recent} WHERE task_id IS NOT NULL
        GROUP BY 1 HAVING min(CAST(timestamp AS DATE)) < max(CAST(timestamp AS DATE))
        """
    ).fetchall()
    if not rows:
        return 0, None
    first = con.execute(
        f"SELECT min(task_id) FROM {recent} WHERE hash(task_id) = $id", {"id": rows[0][0]}
    ).fetchone()
    return len(rows), first[0] if first else None
