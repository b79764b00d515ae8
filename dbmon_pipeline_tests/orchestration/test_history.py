"""The history of runs is cut, and no partition ever loses its mark by it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from dbmon_pipeline.definitions import defs
from dbmon_pipeline.orchestration.history import remove_old_runs
from dbmon_pipeline.orchestration.partitions import days
from dbmon_pipeline_tests.helpers import execution, make_source
from dbmon_pipeline_tests.orchestration.site import DAY, HOUR, NOON, TODAY, Site, keys

FIRST = TODAY - 3 * DAY
LATER = timedelta(minutes=1)


@pytest.fixture
def runs(site: Site) -> dict[str, str]:
    """The ids of five refreshes: of four days, of three of them twice, and two of today."""
    make_source(site.source, [execution(NOON - n * DAY - HOUR) for n in range(4)])
    return {
        "first, still the latest of its first day": site.refresh(FIRST, TODAY).run_id,
        "replaced": site.refresh(FIRST + DAY, TODAY - DAY).run_id,
        "the latest of two days": site.refresh(FIRST + DAY, TODAY - DAY).run_id,
        "replaced, too": site.refresh().run_id,
        "the latest of today and of every table": site.refresh().run_id,
    }


def really_now() -> datetime:
    """The present of the instance, whose clock does not stand still."""
    return datetime.now(UTC).replace(tzinfo=None)


def left(site: Site) -> set[str]:
    """The ids of the runs that are still there."""
    return {run.run_id for run in site.instance.get_runs()}


def test_replaced_runs_go_and_partitions_stay(site: Site, runs: dict[str, str]) -> None:
    """The mark of a partition is an event of a run."""
    before = site.materialized_days()
    assert before == keys(FIRST, TODAY)
    assert remove_old_runs(site.instance, really_now() + LATER, days) == 2
    assert left(site) == {run for name, run in runs.items() if not name.startswith("replaced")}
    assert site.materialized_days() == before
    assert site.metadata("publication")["generation"] == 5
    assert site.metadata("hourly_summary")["dagster/row_count"] == 4
    for run in (run for name, run in runs.items() if name.startswith("replaced")):
        assert site.instance.all_logs(run) == []
    assert remove_old_runs(site.instance, really_now() + LATER, days) == 0


def test_young_and_unfinished_runs_stay(site: Site) -> None:
    """Runs that are not finished stay, whatever their age."""
    unfinished = {
        site.make_run(status).run_id
        for status in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.QUEUED)
    }
    finished = {
        site.make_run(status).run_id
        for status in (
            dg.DagsterRunStatus.FAILURE,
            dg.DagsterRunStatus.CANCELED,
            dg.DagsterRunStatus.SUCCESS,
        )
    }
    assert remove_old_runs(site.instance, really_now() - HOUR, days) == 0
    assert left(site) == unfinished | finished
    assert remove_old_runs(site.instance, really_now() + LATER, days) == 3
    assert left(site) == unfinished


def test_the_retention_job(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old raw rows, generations and runs leave; summaries, partitions and marks stay."""
    rules = site.source.with_name("rules.yaml")
    rules.write_text("keep: {executions_days: 40, generations: 5}")
    monkeypatch.setenv("DBMON_CONFIG", str(rules))
    old = (NOON - 30 * DAY).date()
    make_source(site.source, [execution(NOON - 30 * DAY), execution(NOON - HOUR)])
    first = site.refresh(old, TODAY).run_id
    replaced = site.refresh().run_id
    last = site.refresh().run_id
    assert site.warehouse("SELECT count(*) FROM executions") == [(2,)]
    generations = site.home.published / "generations"
    assert sorted(path.name for path in generations.iterdir()) == ["000001", "000002", "000003"]

    rules.write_text("keep: {executions_days: 20, generations: 2, dagster_runs_days: 30}")
    site.clock.now = really_now() + 31 * DAY
    result = defs.resolve_job_def("retention").execute_in_process(instance=site.instance)
    assert result.success
    metadata = {
        name: value.value
        for event in result.all_events
        if event.is_successful_output
        for name, value in event.step_output_data.metadata.items()
    }
    assert metadata == {
        "raw_rows_removed": 1,
        "generations_removed": 1,
        "runs_removed": 1,
        "warehouse_bytes_freed": 0,
    }
    assert left(site) == {first, last, result.run_id}
    assert replaced not in left(site)
    assert site.warehouse("SELECT timestamp FROM executions") == [(NOON - HOUR,)]
    assert site.warehouse("SELECT date, executions FROM daily_summary ORDER BY ALL") == [
        (old, 1),
        (TODAY, 1),
    ]
    assert sorted(path.name for path in generations.iterdir()) == ["000002", "000003"]
    assert site.generation == 3
    assert site.materialized_days() == keys(old, TODAY)


def test_the_retention_of_an_empty_home(site: Site) -> None:
    """There is nothing to remove, and nothing fails."""
    assert defs.resolve_job_def("retention").execute_in_process(instance=site.instance).success
    assert not site.home.current.exists()
