"""Plans are made under the home's lock, and become one run for each stretch."""

from __future__ import annotations

import logging
import time
from datetime import date

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._daemon.backfill import execute_backfill_iteration

from dbmon_pipeline.core.common.errors import HomeBusyError, RefreshError, SourceError
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.home.locks import home_lock
from dbmon_pipeline.core.warehouse.plan import Plan, Scope
from dbmon_pipeline.orchestration.planning import planned, run_requests
from dbmon_pipeline_tests.helpers import HOLD_FILE, add_rows, execution, make_source, running
from dbmon_pipeline_tests.orchestration.site import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    TODAY,
    WORKSPACE,
    Site,
    keys,
    stretch_of,
)
from dbmon_pipeline_tests.orchestration.test_resources import started, status

NINETY_DAYS = (TODAY - 89 * DAY, TODAY)


def plan_for(site: Site, scope: Scope = Scope.RECENT, wait_seconds: float = 0) -> Plan:
    """Plan as the schedules, the sensor and the command line do."""
    return planned(
        Settings.load(),
        site.instance,
        scope,
        site.clock.now,
        who="the test",
        wait_seconds=wait_seconds,
    )


def test_scopes_differ_in_how_far_they_look_back(site: Site) -> None:
    """Recent, kept and full see late rows of 2, 90 and any number of days."""
    make_source(site.source, [execution(NOON - HOUR)])
    site.refresh()
    assert not plan_for(site).is_needed
    late = [NOON - 47 * HOUR, NOON - 60 * DAY, NOON - 200 * DAY]
    add_rows(site.source, [execution(instant) for instant in late])
    found = [late_day.date() for late_day in late]
    for number, scope in enumerate(Scope, start=1):
        expected = tuple((day, day) for day in sorted(found[:number]))
        assert plan_for(site, scope).stretches == expected


def test_an_unfinished_refresh_is_needed(site: Site) -> None:
    """What waits to be published is a reason to run although the source has not changed."""
    make_source(site.source, [execution(NOON - HOUR)])
    site.refresh()
    site.warehouse("INSERT INTO pending_days VALUES ('daily_summary', $d, 'publish')", d=TODAY)
    found = plan_for(site)
    assert (found.stretches, found.is_unfinished, found.is_needed) == ((), True, True)
    assert found.runs == ((TODAY, TODAY),)


def test_planning_reports_runs_that_died(site: Site) -> None:
    """Whoever plans holds the lock, and so may tell the dead from the living."""
    make_source(site.source, [execution(NOON - HOUR)])
    run = started(site, minutes_ago=5)
    plan_for(site)
    assert status(site, run) is dg.DagsterRunStatus.FAILURE


def test_planning_gives_the_lock_back(site: Site) -> None:
    """After a plan, and after one that failed."""
    with pytest.raises(SourceError):
        plan_for(site)
    with home_lock(site.home, "the test", wait_seconds=0):
        pass
    make_source(site.source, [execution(NOON - HOUR)])
    plan_for(site)
    with home_lock(site.home, "the test", wait_seconds=0):
        pass


def test_planning_waits_for_a_bounded_time(site: Site) -> None:
    """A home in use is an error that names who uses it."""
    with running(HOLD_FILE, site.home.lock), pytest.raises(HomeBusyError):
        plan_for(site, wait_seconds=0.2)


def test_planning_refuses_to_go_back(site: Site) -> None:
    """An instant before the one that was read would have to forget rows."""
    make_source(site.source, [execution(NOON - HOUR)])
    site.refresh()
    site.clock.now = NOON - MINUTE
    with pytest.raises(RefreshError):
        plan_for(site)


@pytest.mark.parametrize("run_key", [None, "key"])
def test_a_run_for_each_stretch(run_key: str | None) -> None:
    """Oldest first; their keys differ."""
    stretches = (
        (date.fromisoformat("2025-01-01"), date.fromisoformat("2025-01-03")),
        (TODAY, TODAY),
    )
    requests = run_requests(Plan(stretches, is_unfinished=False, open_day=TODAY), run_key=run_key)
    assert [stretch_of(request) for request in requests] == [
        ("2025-01-01", "2025-01-03"),
        ("2025-06-11", "2025-06-11"),
    ]
    keys_given = [request.run_key for request in requests]
    expected = ["key 2025-01-01..2025-01-03", "key 2025-06-11..2025-06-11"]
    assert keys_given == (expected if run_key else [None, None])


@pytest.mark.filterwarnings("ignore:Function `AssetSelection.sources`:DeprecationWarning")
def test_a_backfill_from_the_ui_is_one_run(site: Site) -> None:
    """The daemon's own machinery asks for one run over ninety days, and it is carried out."""
    first, last = NINETY_DAYS
    partitions = sorted(keys(first, last))
    make_source(site.source, [execution(NOON - number * DAY - HOUR) for number in range(90)])
    with create_test_daemon_workspace_context(WORKSPACE, site.instance) as workspace:
        graph = workspace.create_request_context().asset_graph
        site.instance.add_backfill(
            PartitionBackfill.from_asset_partitions(
                backfill_id="ninety",
                asset_graph=graph,
                partition_names=partitions,
                asset_selection=[dg.AssetKey("executions")],
                backfill_timestamp=time.time(),
                tags={},
                dynamic_partitions_store=site.instance,
                all_partitions=False,
                title=None,
                description=None,
                run_config=None,
            )
        )
        _iterate(workspace)
        (run,) = site.instance.get_runs()
        if run.status is dg.DagsterRunStatus.QUEUED:
            site.instance.launch_run(run.run_id, workspace.create_request_context())
        deadline = time.monotonic() + 120
        while not (run := site.last_run()).is_finished and time.monotonic() < deadline:
            time.sleep(0.2)
        _iterate(workspace)
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert run.tags["dagster/asset_partition_range_start"] == partitions[0]
    assert run.tags["dagster/asset_partition_range_end"] == partitions[-1]
    assert len(site.instance.get_runs()) == 1
    assert len(partitions) == 90
    assert site.materialized_days() == set(partitions)
    assert site.warehouse("SELECT count(*) FROM executions") == [(90,)]
    backfill = site.instance.get_backfill("ninety")
    assert backfill
    assert backfill.status is BulkActionStatus.COMPLETED_SUCCESS


def _iterate(workspace: WorkspaceProcessContext) -> None:
    """One iteration of the daemon's loop over backfills."""
    errors = list(execute_backfill_iteration(workspace, logging.getLogger("backfill")))
    assert [error for error in errors if error] == []
