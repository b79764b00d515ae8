"""Planning for schedules, the sensor and the command line: the same look, under the home's lock."""

from datetime import datetime

import dagster as dg

from dbmon_pipeline.core.common.duck import storage_errors
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.home.locks import home_lock
from dbmon_pipeline.core.source.source import Source
from dbmon_pipeline.core.warehouse.opening import open_warehouse
from dbmon_pipeline.core.warehouse.plan import Plan, Scope, plan
from dbmon_pipeline.orchestration.partitions import range_tags
from dbmon_pipeline.orchestration.resources import report_dead_runs


def planned(
    settings: Settings,
    instance: dg.DagsterInstance,
    scope: Scope,
    as_of: datetime,
    *,
    who: str,
    wait_seconds: float,
) -> Plan:
    """Find out what a refresh has to do; runs that died are reported by the way.

    Raises:
        HomeBusyError: A refresh is under way, for longer than the wait.
        SourceError: The source cannot be read.
        RefreshError: ``as_of`` lies before the one that was read before.
        StorageError: The warehouse cannot be read or written.
    """
    with home_lock(settings.home, who, wait_seconds=wait_seconds):
        report_dead_runs(instance, settings.home, this_run="")
        home = settings.home
        with storage_errors(home.warehouse), open_warehouse(home) as warehouse:
            source = Source(
                settings.source, settings.config.source, warehouse.con, settings.home.snapshots
            )
            return plan(warehouse, source, settings.config, scope, as_of)


def run_requests(found: Plan, *, run_key: str | None = None) -> list[dg.RunRequest]:
    """A run for each stretch of changed days, oldest first; for the open day if there is none."""
    return [
        dg.RunRequest(
            run_key=f"{run_key} {first}..{last}" if run_key else None,
            tags=range_tags((first, last)),
        )
        for first, last in found.runs
    ]
