"""Planning a refresh: which days must be read again, found before a run is started for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from dbmon_pipeline.core.common.instants import day_start, stretches
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.source.source import Source
from dbmon_pipeline.core.warehouse.changes import changed_hours
from dbmon_pipeline.core.warehouse.extract import kept_from, recent_since, refuse_going_back
from dbmon_pipeline.core.warehouse.replacement import is_another
from dbmon_pipeline.core.warehouse.warehouse import State, Warehouse


class Scope(StrEnum):
    """How far back a refresh looks for late, changed and deleted rows."""

    RECENT = "recent"
    """The last 48 hours, or since the source could last be read."""
    KEPT = "kept"
    """All days whose raw rows are kept."""
    FULL = "full"
    """The whole history."""


@dataclass(frozen=True)
class Plan:
    """What a refresh has to do.

    Attributes:
        stretches: Runs of adjacent days whose rows have changed, as (first, last).
        is_unfinished: Whether an earlier refresh was cut off before it could publish.
        open_day: The day of ``as_of``.
    """

    stretches: tuple[tuple[date, date], ...]
    is_unfinished: bool
    open_day: date

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to do but to move on with time."""
        return bool(self.stretches) or self.is_unfinished

    @property
    def runs(self) -> tuple[tuple[date, date], ...]:
        """The stretches to run for; the open day if nothing has changed."""
        return self.stretches or ((self.open_day, self.open_day),)


def plan(
    warehouse: Warehouse, source: Source, config: MonitoringConfig, scope: Scope, as_of: datetime
) -> Plan:
    """Find the days that have changed.

    The first refresh of a home is one stretch from the source's first day on.

    Raises:
        RefreshError: ``as_of`` lies before the one that was read before.
        SourceError: The source cannot be read.
    """
    refuse_going_back(warehouse, as_of)
    history_start = day_start(config.history_start)

    def oldest() -> datetime | None:
        return source.oldest(history_start, as_of)

    start = recent_since(warehouse, config, as_of)
    if scope is Scope.KEPT:
        start = min(start, max(history_start, day_start(kept_from(config, as_of))))
    elif scope is Scope.FULL:
        start = history_start
    if warehouse.instant(State.DATA_THROUGH) is None and (first := oldest()):
        found = [(first.date(), as_of.date())]
    else:
        changed = changed_hours(warehouse, source, [(start, as_of)], oldest)
        if start > history_start and is_another(warehouse, source):
            changed += changed_hours(warehouse, source, [(history_start, start)], oldest)
        found = stretches({hour.hour.date() for hour in changed})
    return Plan(tuple(found), warehouse.has_pending(), as_of.date())
