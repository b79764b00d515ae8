"""Every table that is published, in the order of the flow."""

from __future__ import annotations

from dbmon_pipeline.core.schema.rollups import ROLLUPS
from dbmon_pipeline.core.schema.table import Table

REFRESH_HISTORY = Table(
    "refresh_history", "one instant that refreshes spoke for, and what they read", ("as_of",)
)
CHECK_HISTORY = Table(
    "check_history", "one verdict of one rule on one scope", ("evaluated_at", "rule", "scope")
)

PUBLISHED: dict[str, Table] = {
    table.name: table for table in (*ROLLUPS, REFRESH_HISTORY, CHECK_HISTORY)
}
