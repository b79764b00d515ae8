"""Planning: which days are read again, and what becomes of hours that were pruned.

Owners remove old rows from their source, and pruned is not deleted. Hours that the source holds
whole are redone. Of an hour that was pruned, or cut by it, the rows come from ``recent_executions``
as far as that reaches; an older one keeps its figures, unless the source holds at least as many
rows again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import duckdb

from dbmon_pipeline.core.changes.compare import SEEN, Look
from dbmon_pipeline.core.changes.ledger import KNOWN, HourState
from dbmon_pipeline.core.common.errors import SourceShrankError
from dbmon_pipeline.core.common.instants import hour_floor, iso

_FEWEST = 100
"""To lose fewer rows is never called much."""


@dataclass(frozen=True)
class Plan:
    """Plan of a refresh: the hours that differ and the days to read.

    Attributes:
        changed: The hours that differ: their rows in the source now and before.
        days: The days to read, in ascending order, with how many rows the source has in each hour.
        merged: Hours whose rows are those of the source and of ``recent_executions``.
        kept: Hours that keep their figures, because the source holds only a part of them.
        unrepairable: Those of them that have changed in the source.
        gone: How many rows went, net, since the source no longer holds them.
        gone_gross: As ``gone``, without setting off rows that came in other hours.
        pruned_before: Up to when the owner has pruned rows; None if nothing was pruned.
    """

    changed: dict[datetime, tuple[int, int]]
    days: dict[date, dict[datetime, int]]
    merged: frozenset[datetime]
    kept: frozenset[datetime]
    unrepairable: frozenset[datetime]
    gone: int
    gone_gross: int
    pruned_before: datetime | None


@dataclass(frozen=True)
class PlanRequest:
    """Conditions that a plan must heed besides the hours that differ.

    Attributes:
        as_of: Rows at or after it are not read.
        data_through: Up to when the source had been read; None before it was.
        oldest_before: The source's oldest row when it was read before.
        pruned_before: Up to when the owner had pruned rows before.
        recent_from: From when on ``recent_executions`` has every row; None if it has none.
        recent_missing: Stretches of it whose files are damaged.
        again: Days that are read whether or not they differ.
        all_days: Whether every day that the source holds is read.
    """

    as_of: datetime
    data_through: datetime | None
    oldest_before: datetime | None
    pruned_before: datetime | None
    recent_from: datetime | None
    recent_missing: tuple[tuple[datetime, datetime], ...] = ()
    again: frozenset[date] = frozenset()
    all_days: bool = False


def plan(
    con: duckdb.DuckDBPyConnection,
    found: Look,
    changed: dict[datetime, tuple[int, int]],
    request: PlanRequest,
) -> Plan:
    """Decide what is read again, and mark in the ledger what was pruned.

    Args:
        con: The instance with the ledger and what was seen.
        found: The look over the source.
        changed: The hours that differ.
        request: What else to heed.
    """
    oldest = found.profile.oldest
    horizon = hour_floor(oldest) if oldest else datetime.max
    has_aged = request.oldest_before is not None and (
        oldest is None or oldest > request.oldest_before
    )
    _mark_pruned(con, horizon)
    in_source = _rows_in_source(con, found)
    days = {hour.date() for hour in changed} | set(request.again)
    if request.all_days:
        days |= {hour.date() for hour, rows in in_source.items() if rows}
    pruned_before = request.pruned_before
    if has_aged:
        limit = oldest or request.data_through or horizon
        pruned_before = max(pruned_before or limit, limit)
        if horizon in changed:
            _mark_cut(con, horizon)
    incomplete = _incomplete(con)
    merged = {hour for hour in incomplete if _is_recent(hour, request)}
    if request.all_days:
        days |= {hour.date() for hour in merged}
    merged = {hour for hour in merged if hour.date() in days}
    kept = {
        hour
        for hour, counted in incomplete.items()
        if hour.date() in days and hour not in merged and in_source.get(hour, 0) < counted
    }
    gone = [
        before - now
        for hour, (now, before) in changed.items()
        if hour not in kept
        and hour not in merged
        and (request.data_through is None or hour < request.data_through)
    ]
    return Plan(
        changed=changed,
        days=_by_day(in_source, days),
        merged=frozenset(merged),
        kept=frozenset(kept),
        unrepairable=frozenset(kept & changed.keys()),
        gone=sum(gone),
        gone_gross=sum(rows for rows in gone if rows > 0),
        pruned_before=pruned_before,
    )


def refuse_much_gone(
    con: duckdb.DuckDBPyConnection, made: Plan, path: object, most_gone: float, *, is_replaced: bool
) -> None:
    """Ask before much is deleted here because the source no longer holds it.

    Rows that came are set off, since rows may move; but not those of another file, which may be
    that of another database.

    Args:
        con: The instance with the ledger.
        made: The plan.
        path: The source.
        most_gone: Which part of what was known since the first changed hour may be gone.
        is_replaced: Whether the source is another file than before.

    Raises:
        SourceShrankError: It is much.
    """
    gone = made.gone_gross if is_replaced else made.gone
    if gone < _FEWEST:
        return
    since = min(made.changed)
    (known,) = con.execute(
        f"SELECT coalesce(CAST(sum(source_executions) AS BIGINT), 0) FROM {KNOWN}"
        " WHERE hour >= $since",
        {"since": since},
    ).fetchall()[0]
    if gone > most_gone * known:
        other = "another file than before" if is_replaced else "the same file"
        raise SourceShrankError(
            f"{path} ({other}) no longer holds {gone:,} of the {known:,} executions that were"
            f" read from it since {iso(since)}",
            remedy="restore it, or run 'dbmon refresh --accept-shrink' to have them deleted here,"
            " too; or name another home for another database",
        )


def _mark_pruned(con: duckdb.DuckDBPyConnection, horizon: datetime) -> None:
    """Note that the owner has pruned the hours before the source's oldest row."""
    con.execute(
        f"UPDATE {KNOWN} SET state = '{HourState.PRUNED}', source_executions = 0,"
        " fingerprint = NULL WHERE hour < $horizon"
        f" AND (state <> '{HourState.PRUNED}' OR source_executions > 0)"
        f" AND hour NOT IN (SELECT hour FROM {SEEN})",
        {"horizon": horizon},
    )


def _mark_cut(con: duckdb.DuckDBPyConnection, horizon: datetime) -> None:
    """Note that pruning may have taken a part of the hour of the source's oldest row.

    Whatever its number of rows: late ones may have come meanwhile.
    """
    con.execute(
        f"UPDATE {KNOWN} SET state = '{HourState.CUT}'"
        f" WHERE hour = $horizon AND state = '{HourState.WHOLE}'",
        {"horizon": horizon},
    )


def _rows_in_source(con: duckdb.DuckDBPyConnection, found: Look) -> dict[datetime, int]:
    """Count the rows that the source has in each hour: as seen, or as known where not looked at."""
    looked = " OR ".join(f"(hour >= '{start}' AND hour < '{end}')" for start, end in found.closely)
    unseen = "false" if found.counted else f"NOT ({looked or 'false'})"
    rows = con.execute(
        f"SELECT hour, executions FROM {SEEN} UNION ALL"
        f" SELECT hour, source_executions FROM {KNOWN} WHERE {unseen} ORDER BY 1"
    ).fetchall()
    return dict(rows)


def _incomplete(con: duckdb.DuckDBPyConnection) -> dict[datetime, int]:
    """List the hours that were pruned or cut, with how many rows are counted in each."""
    return dict(
        con.execute(
            f"SELECT hour, executions FROM {KNOWN} WHERE state <> '{HourState.WHOLE}' ORDER BY 1"
        ).fetchall()
    )


def _is_recent(hour: datetime, request: PlanRequest) -> bool:
    """Tell whether ``recent_executions`` has the rows of an hour."""
    if request.recent_from is None or hour < request.recent_from:
        return False
    return not any(start <= hour < end for start, end in request.recent_missing)


def _by_day(in_source: dict[datetime, int], days: set[date]) -> dict[date, dict[datetime, int]]:
    found: dict[date, dict[datetime, int]] = {day: {} for day in sorted(days)}
    for hour, rows in in_source.items():
        if rows and hour.date() in found:
            found[hour.date()][hour] = rows
    return found
