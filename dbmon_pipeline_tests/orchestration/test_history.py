"""The history of runs is cut, and no asset ever loses its mark by it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from dbmon_pipeline.orchestration.jobs import remove_old_runs
from dbmon_pipeline_tests.helpers import add_rows, execution, make_source
from dbmon_pipeline_tests.orchestration.site import DAY, HOUR, MINUTE, NOON, Site

LATER = timedelta(minutes=1)


def really_now() -> datetime:
    """The present of the instance, whose clock does not stand still."""
    return datetime.now(UTC).replace(tzinfo=None)


def left(site: Site) -> set[str]:
    """The ids of the runs that are still there."""
    return {run.run_id for run in site.instance.get_runs()}


def remove(site: Site, limit: datetime, *, jobs: set[str]) -> int:
    """Remove old runs of some jobs."""
    return remove_old_runs(site.instance, limit, jobs=jobs, assets=set())


def test_the_retention_removes_replaced_runs(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The latest materialization of each asset stays: of most tables that is the first run's."""
    make_source(site.source, [execution(NOON - n * DAY - HOUR) for n in range(4)])
    first = site.refresh().run_id
    site.clock.now += MINUTE
    replaced = site.refresh().run_id
    site.clock.now += MINUTE
    last = site.refresh().run_id
    assert "hourly_summary" not in site.materialized(last)
    rules = site.source.with_name("rules.yaml")
    rules.write_text("keep: {dagster_runs_days: 20}")
    monkeypatch.setenv("DBMON_CONFIG", str(rules))
    site.clock.now = really_now() + 21 * DAY

    result = site.definitions.resolve_job_def("retention").execute_in_process(
        instance=site.instance
    )
    assert result.success
    (output,) = (event for event in result.all_events if event.is_successful_output)
    assert output.step_output_data.metadata["runs_removed"].value == 1
    assert left(site) == {first, last, result.run_id}
    assert site.instance.all_logs(replaced) == []
    assert site.metadata("publication")["generation"] == 3
    assert site.metadata("hourly_summary")["dagster/row_count"] == 4
    assert list(site.home.live_runs.iterdir()) == []

    add_rows(site.source, [execution(NOON + MINUTE)])
    site.refresh()
    assert remove(site, really_now() + LATER, jobs={"refresh"}) == 1
    assert first in left(site), "it has the latest materialization of tables without rows"
    assert last not in left(site)


def test_young_unfinished_and_foreign_runs_stay(site: Site) -> None:
    """Runs of a host's jobs are not ours to delete, whatever their age."""
    statuses = dg.DagsterRunStatus
    unfinished = {site.make_run(status).run_id for status in (statuses.STARTED, statuses.QUEUED)}
    finished = {
        site.make_run(status).run_id
        for status in (statuses.FAILURE, statuses.CANCELED, statuses.SUCCESS)
    }
    assert remove(site, really_now() - HOUR, jobs={"refresh"}) == 0
    assert remove(site, really_now() + LATER, jobs={"another"}) == 0
    assert left(site) == unfinished | finished
    assert remove(site, really_now() + LATER, jobs={"refresh"}) == 3
    assert left(site) == unfinished


def test_runs_of_our_assets_alone_may_go(site: Site) -> None:
    """Launched from the asset graph they have no job of ours."""
    publication, ledger = dg.AssetKey("publication"), dg.AssetKey("hour_ledger")
    for keys in ({publication}, {publication, ledger}):
        run = dg.DagsterRun(
            "__ASSET_JOB", status=dg.DagsterRunStatus.SUCCESS, asset_selection=frozenset(keys)
        )
        site.instance.add_run(run)
    limit = really_now() + LATER
    assert remove_old_runs(site.instance, limit, jobs=set(), assets={publication}) == 1
    assert left(site) == {run.run_id}
