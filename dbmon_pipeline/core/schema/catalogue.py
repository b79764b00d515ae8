"""Catalogue of every published table, in the order of the flow.

A new summary table is one SQL file in ``sql/rollups/`` and one entry here; its name is that of the
published folder and of the Dagster asset.
"""

from __future__ import annotations

from datetime import timedelta

from dbmon_pipeline.core.schema.table import Table, read_table

HOUR_LEDGER = read_table("hour_ledger")

ROLLED_UP = (
    read_table("hourly_summary"),
    read_table("hourly_totals"),
    read_table("daily_summary"),
    read_table("hourly_distribution"),
    read_table("daily_distribution"),
    read_table("tier_performance"),
    read_table("pool_performance"),
    read_table("error_summary"),
    read_table("daily_error_summary"),
    read_table("hourly_complexity"),
    read_table("daily_complexity"),
    read_table("daily_patterns"),
    read_table("solution_patterns", window=timedelta(days=90)),
    read_table("recent_executions", window=timedelta(days=2)),
)
"""The summary tables: what refreshes roll up."""

REFRESH_HISTORY = Table(
    "refresh_history", "one instant that refreshes spoke for, and what they read", ("as_of",)
)
CHECK_HISTORY = Table(
    "check_history", "one verdict of one rule on one scope", ("evaluated_at", "rule", "scope")
)

TABLES: dict[str, Table] = {
    table.name: table for table in (HOUR_LEDGER, *ROLLED_UP, REFRESH_HISTORY, CHECK_HISTORY)
}
"""All of them by name."""

DAILY_TABLE_OF = {
    table.source: table.name
    for table in ROLLED_UP
    if table.key[0] == "date" and table.source in TABLES
}
"""The table with the whole days of each hourly one that has such a table."""
