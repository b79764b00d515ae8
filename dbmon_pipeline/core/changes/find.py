"""Finding what a refresh has to do: the source looked over, compared with the ledger, planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import duckdb

from dbmon_pipeline.core.changes.compare import (
    Look,
    LookRequest,
    Window,
    changed_hours,
    look,
    renew_fingerprints,
)
from dbmon_pipeline.core.changes.ledger import KNOWN
from dbmon_pipeline.core.changes.plan import Plan, PlanRequest, plan, refuse_much_gone
from dbmon_pipeline.core.changes.request import RefreshRequest
from dbmon_pipeline.core.common.instants import DAY, day_start, hour_floor
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.generation.writer import DraftWriter
from dbmon_pipeline.core.schema.catalogue import HOUR_LEDGER, ROLLED_UP
from dbmon_pipeline.core.schema.manifest import MadeWith, Manifest, SourceProfile
from dbmon_pipeline.core.source.contract import fingerprint_version
from dbmon_pipeline.core.source.kinds import Source

_RECENT = "recent_executions"
_SMALL_YEAR = 10_000
"""A closed year with fewer executions is one file a table."""


@dataclass(frozen=True)
class Found:
    """Work of a refresh, with the look at the source that it follows from.

    Attributes:
        look: What the source said.
        plan: The days to read, and what becomes of pruned hours.
        made_with: What the new generation is made with.
        anew: The tables of which every file is written once more.
        is_replaced: Whether the source is another file than before.
    """

    look: Look
    plan: Plan
    made_with: MadeWith
    anew: frozenset[str]
    is_replaced: bool


def find_changes(
    con: duckdb.DuckDBPyConnection,
    source: Source,
    config: MonitoringConfig,
    request: RefreshRequest,
    before: Manifest | None,
    writer: DraftWriter,
    redaction: str,
) -> Found:
    """Look over the source and plan what to read again.

    Args:
        con: The instance, with the ledger.
        source: The source.
        config: The limits.
        request: What the refresh is asked for.
        before: What is published now.
        writer: Knows which of the published files are damaged.
        redaction: The digest of what free texts lose.

    Raises:
        SourceShrankError: Much of what is known is gone from the source.
        SourceError: The source cannot be read.
    """
    found, with_sums = _look(con, source, config, request, before)
    changed = changed_hours(con, found, with_sums=with_sums)
    if with_sums:
        renew_fingerprints(con)
    made_with = MadeWith(
        tables={table.name: table.digest for table in (HOUR_LEDGER, *ROLLED_UP)},
        redaction=redaction,
        fingerprint=fingerprint_version(found.profile.columns),
    )
    anew = _made_anew(before, made_with)
    damaged = _damaged_windows(writer)
    made = plan(
        con,
        found,
        changed,
        PlanRequest(
            as_of=request.as_of,
            data_through=before.data_through if before else None,
            oldest_before=before.source.oldest if before else None,
            pruned_before=before.source.pruned_before if before else None,
            recent_from=before.recent_from if before else None,
            recent_missing=damaged.get(_RECENT, ()),
            again=_known_days(con, damaged) | _days_asked_for(request),
            all_days=bool(anew),
        ),
    )
    is_replaced = before is not None and _is_other_file(source, before.source)
    if not request.accept_shrink:
        refuse_much_gone(con, made, source.path, config.source.most_gone, is_replaced=is_replaced)
    return Found(found, made, made_with, anew, is_replaced)


def _look(
    con: duckdb.DuckDBPyConnection,
    source: Source,
    config: MonitoringConfig,
    request: RefreshRequest,
    before: Manifest | None,
) -> tuple[Look, bool]:
    """Look over the source; tell whether control sums are compared in place of fingerprints."""
    history = (day_start(config.history_start), request.as_of)
    if before is None:
        return look(con, source, LookRequest(history, (), count_all=True, with_sums=False)), False
    everything = request.full or _is_other_file(source, before.source)
    start = history[0] if everything else _closely_from(config, request, before.data_through)
    closely: tuple[Window, ...] = ((start, request.as_of),)
    found = look(con, source, LookRequest(history, closely, count_all=False, with_sums=False))
    if before.made_with.fingerprint == fingerprint_version(found.profile.columns):
        return found, False
    return look(
        con, source, LookRequest(history, (history,), count_all=False, with_sums=True)
    ), True


def _closely_from(
    config: MonitoringConfig, request: RefreshRequest, data_through: datetime
) -> datetime:
    """Tell from when on hours are fingerprinted: 48 h back, or since the source was last read."""
    look_back = timedelta(hours=config.source.compare_hours)
    start = hour_floor(min(request.as_of, data_through) - look_back)
    if request.compare_days is not None:
        start = min(start, day_start(request.as_of.date()) - request.compare_days * DAY)
    return max(start, day_start(config.history_start))


def _is_other_file(source: Source, before: SourceProfile) -> bool:
    """Tell whether the source is another file than the one that was read before."""
    _, inode = source.size_and_inode()
    return (str(source.path), inode) != (before.path, before.inode)


def _made_anew(before: Manifest | None, now: MadeWith) -> frozenset[str]:
    """List the tables whose SELECT is another one, or all if the redaction is."""
    if before is None:
        return frozenset()
    if before.made_with.redaction != now.redaction:
        return frozenset(now.tables)
    known = before.made_with.tables
    return frozenset(name for name, digest in now.tables.items() if known.get(name) != digest)


def _damaged_windows(writer: DraftWriter) -> dict[str, tuple[Window, ...]]:
    """List the stretches of the damaged files of each table."""
    for table in (HOUR_LEDGER, *ROLLED_UP):
        writer.before(table.name)
    return {name: tuple(windows) for name, windows in writer.damaged_windows().items()}


def _known_days(
    con: duckdb.DuckDBPyConnection, windows: dict[str, tuple[Window, ...]]
) -> frozenset[date]:
    """List the days of stretches that the ledger knows."""
    days: set[date] = set()
    for start, end in {window for some in windows.values() for window in some}:
        rows = con.execute(
            f"SELECT DISTINCT CAST(hour AS DATE) FROM {KNOWN} WHERE hour >= $start AND hour < $end",
            {"start": start, "end": end},
        ).fetchall()
        days |= {day for (day,) in rows}
    return frozenset(days)


def _days_asked_for(request: RefreshRequest) -> frozenset[date]:
    if request.since is None and request.until is None:
        return frozenset()
    today = request.as_of.date()
    last = min(request.until or today, today)
    first = request.since or last
    return frozenset(first + n * DAY for n in range((last - first).days + 1))


def small_years(
    con: duckdb.DuckDBPyConnection, days: Mapping[date, Mapping[datetime, int]]
) -> set[int]:
    """List the years that have few executions.

    Args:
        con: The instance, with the ledger as it was.
        days: The days that will be read, with the rows of each of their hours.
    """
    rows: dict[int, int] = dict(
        con.execute(
            f"SELECT year(hour), CAST(sum(executions) AS BIGINT) FROM {KNOWN}"
            " WHERE NOT list_contains($days, CAST(hour AS DATE)) GROUP BY 1",
            {"days": list(days)},
        ).fetchall()
    )
    for day, hours in days.items():
        rows[day.year] = rows.get(day.year, 0) + sum(hours.values())
    return {year for year, count in rows.items() if count < _SMALL_YEAR}
