"""Data quality: how many rows are not what the schema contract promises, from the hour ledger."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import duckdb

from dbmon_pipeline.core.changes.ledger import KNOWN
from dbmon_pipeline.core.common.instants import day_start
from dbmon_pipeline.core.rollup.duplicates import count_across_days
from dbmon_pipeline.core.rollup.recent import recent_from

_AT_LEAST = timedelta(hours=48)
_COUNTS = (
    *("quality_out_of_range", "rating_out_of_range", "negative_durations", "negative_costs"),
    *("successes_with_error_type", "failures_without_error_type", "unknown_success"),
    *("missing_task_ids", "duplicate_task_ids", "not_finite_values", "unreadable_values"),
    "executions",
)
"""Columns of the ledger."""


@dataclass(frozen=True)
class Quality:
    """Counts of rows that are not what the contract promises.

    Attributes:
        counts: How many, by kind, and how many executions there were in all.
        start: From when on they were counted.
        duplicate: A task id that stands on several of the recent days.
    """

    counts: dict[str, int]
    start: datetime
    duplicate: str | None


def count_quality(
    con: duckdb.DuckDBPyConnection, as_of: datetime, touched: Collection[date], recent: str
) -> Quality:
    """Count such rows since the first day that was read, and for at least 48 hours.

    So the first refresh counts all there are, and later ones cost the same whatever there is.

    Args:
        con: The instance, with the ledger.
        as_of: The instant that the refresh speaks for.
        touched: The days that were read.
        recent: SQL that reads ``recent_executions``.
    """
    start = as_of - _AT_LEAST
    if touched:
        start = min(start, day_start(min(touched)))
    sums = ", ".join(f"coalesce(CAST(sum({name}) AS BIGINT), 0)" for name in _COUNTS)
    row = con.execute(f"SELECT {sums} FROM {KNOWN} WHERE hour >= $start", {"start": start})
    counts = dict(zip(_COUNTS, row.fetchall()[0], strict=True))
    days = sorted(day for day in touched if day >= recent_from(as_of).date())
    across, duplicate = count_across_days(con, recent, days)
    counts["duplicate_task_ids"] += across
    return Quality(counts, start, duplicate)
