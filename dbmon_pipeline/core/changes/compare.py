"""Comparing: which hours of the source differ from the ledger.

Where hours are compared closely, the number of their rows and the sum of their rows' hashes decide,
so late, changed and deleted rows are all found. Elsewhere only the numbers of rows are compared,
and only if those of all of these hours together differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import duckdb

from dbmon_pipeline.core.changes.ledger import KNOWN
from dbmon_pipeline.core.common.instants import HOUR, hour_floor
from dbmon_pipeline.core.schema.manifest import SourceProfile
from dbmon_pipeline.core.source.contract import SourceSchema, inspect
from dbmon_pipeline.core.source.kinds import Source
from dbmon_pipeline.core.source.profile import look_over

Window = tuple[datetime, datetime]
"""A stretch of time ``[start, end)``, naive UTC."""

SEEN = "seen"
"""Table of the source's rows and fingerprint per hour, and of sums where those are compared."""
_RELATIVE_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Look:
    """State of the source as of one moment.

    Attributes:
        profile: What it holds, in figures.
        schema: Its columns.
        closely: The windows whose hours were fingerprinted.
        counted: Whether the rows of all other hours were counted, too.
    """

    profile: SourceProfile
    schema: SourceSchema
    closely: tuple[Window, ...]
    counted: bool


@dataclass(frozen=True)
class LookRequest:
    """Request for a look: the facts to find out about the source.

    Attributes:
        history: The stretch that is monitored: from the start of the history to as_of.
        closely: Windows whose hours are fingerprinted; each begins on a full hour.
        count_all: Whether the rows of every other hour are counted in any case.
        with_sums: Whether control sums are taken, since fingerprints cannot be compared.
    """

    history: Window
    closely: tuple[Window, ...]
    count_all: bool
    with_sums: bool


def look(con: duckdb.DuckDBPyConnection, source: Source, request: LookRequest) -> Look:
    """Look over the source and fill ``seen``, in one reading.

    Raises:
        SourceError: The source cannot be read, or is not what the contract asks for.
    """
    con.execute(
        f"CREATE OR REPLACE TABLE {SEEN} (hour TIMESTAMP, executions BIGINT, fingerprint VARCHAR,"
        " successes BIGINT, duration_sum DOUBLE, actual_cost_sum DOUBLE)"
    )
    expected = con.execute(f"SELECT hour, source_executions FROM {KNOWN}").fetchall()

    def query(cursor: duckdb.DuckDBPyConnection) -> Look:
        return _look(cursor, source, request, expected)

    return source.read(query, seconds=30.0)


def _look(
    cursor: duckdb.DuckDBPyConnection,
    source: Source,
    request: LookRequest,
    expected: list[tuple[datetime, int]],
) -> Look:
    schema = inspect(cursor, source.path, is_ours=source.is_ours)
    profile = look_over(cursor, source, schema, *request.history)
    cursor.execute(f"DELETE FROM memory.main.{SEEN}")
    windows = list(request.closely)
    if profile.oldest is not None:  # The hour that pruning may have cut.
        horizon = hour_floor(profile.oldest)
        windows.append((horizon, min(horizon + HOUR, request.history[1])))
    closely = merge_windows(windows)
    for window in closely:
        _fingerprint(cursor, schema, window, with_sums=request.with_sums)
    counted = request.count_all or _differ_elsewhere(cursor, profile, closely, expected)
    if counted:
        for window in _gaps(request.history, closely):
            _count(cursor, schema, window)
    return Look(profile, schema, closely, counted)


def _fingerprint(
    cursor: duckdb.DuckDBPyConnection, schema: SourceSchema, window: Window, *, with_sums: bool
) -> None:
    sums = (
        f"count(*) FILTER (WHERE {schema.expression('success')}),"
        f" sum({schema.expression('duration_seconds')}), sum({schema.expression('actual_cost')})"
        if with_sums
        else "NULL, NULL, NULL"
    )
    cursor.execute(
        f"INSERT INTO memory.main.{SEEN}"
        f" SELECT date_trunc('hour', {schema.expression('timestamp')}), count(*),"
        f" CAST(sum({schema.row_hash}) AS VARCHAR), {sums}"
        f" FROM source.main.executions WHERE {schema.between('start', 'end')} GROUP BY 1",
        {"start": window[0], "end": window[1]},
    )


def _count(cursor: duckdb.DuckDBPyConnection, schema: SourceSchema, window: Window) -> None:
    cursor.execute(
        f"INSERT INTO memory.main.{SEEN} (hour, executions)"
        f" SELECT date_trunc('hour', {schema.expression('timestamp')}), count(*)"
        f" FROM source.main.executions WHERE {schema.between('start', 'end')} GROUP BY 1",
        {"start": window[0], "end": window[1]},
    )


def _differ_elsewhere(
    cursor: duckdb.DuckDBPyConnection,
    profile: SourceProfile,
    closely: tuple[Window, ...],
    expected: list[tuple[datetime, int]],
) -> bool:
    """Tell whether the hours that were not fingerprinted have another number of rows in all."""
    (seen,) = cursor.execute(
        f"SELECT coalesce(CAST(sum(executions) AS BIGINT), 0) FROM memory.main.{SEEN}"
    ).fetchall()[0]
    horizon = hour_floor(profile.oldest) if profile.oldest else datetime.max
    known = sum(
        rows
        for hour, rows in expected
        if hour >= horizon and not any(start <= hour < end for start, end in closely)
    )
    return bool(profile.rows - seen != known)


def changed_hours(
    con: duckdb.DuckDBPyConnection, found: Look, *, with_sums: bool
) -> dict[datetime, tuple[int, int]]:
    """Compare what was seen with the ledger.

    Hours before the source's oldest row that it does not hold were pruned by its owner, and do not
    count as changed.

    Args:
        con: The instance.
        found: The look that filled ``seen``.
        with_sums: Whether control sums decide in the place of fingerprints.

    Returns:
        For each hour that differs, in ascending order, its rows in the source now and before.
    """
    horizon = hour_floor(found.profile.oldest) if found.profile.oldest else datetime.max
    differs = _DIFFERS_IN_SUMS if with_sums else "s.fingerprint IS DISTINCT FROM k.fingerprint"
    compared = " OR ".join(
        f"(k.hour >= '{start}' AND k.hour < '{end}')" for start, end in found.closely
    )
    if found.counted:
        compared = "true"
    rows = con.execute(
        f"""
        SELECT
            coalesce(s.hour, k.hour) AS hour,
            coalesce(s.executions, 0) AS now,
            coalesce(k.source_executions, 0) AS before
        FROM {SEEN} AS s
        FULL JOIN (SELECT * FROM {KNOWN} AS k WHERE {compared or "false"}) AS k ON s.hour = k.hour
        WHERE
            (
                coalesce(s.executions, 0) <> coalesce(k.source_executions, 0)
                OR (s.fingerprint IS NOT NULL AND {differs})
            )
            AND (s.hour IS NOT NULL OR k.hour >= $horizon)
        ORDER BY 1
        """,
        {"horizon": horizon},
    ).fetchall()
    return {hour: (now, before) for hour, now, before in rows}


_DIFFERS_IN_SUMS = " OR ".join(
    (
        "s.successes IS DISTINCT FROM k.successes",
        *(
            f"coalesce(abs(s.{name} - k.{name}) > {_RELATIVE_TOLERANCE} *"
            f" greatest(1, abs(s.{name}), abs(k.{name})),"
            f" (s.{name} IS NULL) <> (k.{name} IS NULL))"
            for name in ("duration_sum", "actual_cost_sum")
        ),
    )
).join("()")


def renew_fingerprints(con: duckdb.DuckDBPyConnection) -> None:
    """Note the fingerprints that the source's hours have now."""
    con.execute(
        f"UPDATE {KNOWN} AS k SET fingerprint = s.fingerprint FROM {SEEN} AS s"
        " WHERE s.hour = k.hour AND s.fingerprint IS NOT NULL"
    )


def merge_windows(windows: Iterable[Window]) -> tuple[Window, ...]:
    """Unite windows that touch or overlap, in ascending order; empty ones fall away."""
    merged: list[Window] = []
    for start, end in sorted(window for window in windows if window[0] < window[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return tuple(merged)


def _gaps(whole: Window, windows: tuple[Window, ...]) -> Iterable[Window]:
    """Yield what of a stretch lies outside of windows, which are in ascending order."""
    start = whole[0]
    for first, last in windows:
        if start < first:
            yield start, first
        start = max(start, last)
    if start < whole[1]:
        yield start, whole[1]
