"""The home's lock is held for a whole run, and runs that died are told from those that live."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from dbmon_pipeline.core.common.errors import HomeBusyError, RefreshError
from dbmon_pipeline.core.home.locks import home_lock
from dbmon_pipeline.core.warehouse.publish import publish
from dbmon_pipeline.orchestration import assets
from dbmon_pipeline.orchestration.resources import WarehouseResource, report_dead_runs
from dbmon_pipeline_tests.helpers import HOLD_FILE, execution, make_source, running
from dbmon_pipeline_tests.orchestration.site import DAY, HOUR, NOON, Site

REFRESH = [str(Path(sys.executable).with_name("dbmon")), "refresh"]


def started(site: Site, *, minutes_ago: float) -> dg.DagsterRun:
    """A run of which nothing was heard since it was started."""
    run = site.make_run(dg.DagsterRunStatus.STARTED)
    _age(site, run, minutes_ago)
    return run


def _age(site: Site, run: dg.DagsterRun, minutes_ago: float) -> None:
    with site.instance.run_storage.connect() as con:  # type: ignore[attr-defined]
        con.exec_driver_sql(
            "UPDATE runs SET start_time = ? WHERE run_id = ?",
            (time.time() - minutes_ago * 60, run.run_id),
        )


def status(site: Site, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    """What the instance says of a run."""
    found = site.instance.get_run_by_id(run.run_id)
    assert found
    return found.status


def test_an_old_run_without_a_sign_is_dead(site: Site) -> None:
    """A young one may be about to show that it lives."""
    old, young = started(site, minutes_ago=2), started(site, minutes_ago=0.5)
    report_dead_runs(site.instance, site.home, "")
    assert status(site, old) is dg.DagsterRunStatus.FAILURE
    assert status(site, young) is dg.DagsterRunStatus.STARTED


def test_a_run_whose_process_lives_is_not_dead(site: Site) -> None:
    """However old it is; when the process ends, it is."""
    run = started(site, minutes_ago=600)
    sign = site.home.live_runs / run.run_id
    with running(HOLD_FILE, sign):
        report_dead_runs(site.instance, site.home, "")
        assert status(site, run) is dg.DagsterRunStatus.STARTED
    report_dead_runs(site.instance, site.home, "")
    assert status(site, run) is dg.DagsterRunStatus.FAILURE
    assert not sign.exists()


def test_a_run_that_left_its_sign_behind_is_dead_at_once(site: Site) -> None:
    """A sign that nobody holds needs no grace."""
    run = started(site, minutes_ago=0)
    sign = site.home.live_runs / run.run_id
    sign.parent.mkdir(parents=True)
    sign.touch()
    report_dead_runs(site.instance, site.home, "")
    assert status(site, run) is dg.DagsterRunStatus.FAILURE
    assert not sign.exists()


def test_a_run_does_not_report_itself(site: Site) -> None:
    """It holds the lock that others wait for."""
    run = started(site, minutes_ago=600)
    report_dead_runs(site.instance, site.home, run.run_id)
    assert status(site, run) is dg.DagsterRunStatus.STARTED


def test_waiting_and_finished_runs_are_left_alone(site: Site) -> None:
    """Only what is started can have died."""
    others = (
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.SUCCESS,
        dg.DagsterRunStatus.CANCELED,
    )
    runs = [(site.make_run(other), other) for other in others]
    report_dead_runs(site.instance, site.home, "")
    assert [status(site, run) for run, _ in runs] == [other for _, other in runs]


def test_a_run_holds_the_lock_and_shows_that_it_lives(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For its whole length, and not longer."""
    make_source(site.source, [execution(NOON - HOUR)])
    seen: list[tuple[str, list[str]]] = []
    real = publish

    def looking(*arguments: object, **named: object) -> object:
        with (
            pytest.raises(HomeBusyError) as caught,
            home_lock(site.home, "the test", wait_seconds=0),
        ):
            pass
        seen.append((str(caught.value), [path.name for path in site.home.live_runs.iterdir()]))
        return real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(assets, "publish", looking)
    run = site.refresh()
    ((message, signs),) = seen
    assert f"is in use by run {run.run_id[:8]} (process {os.getpid()}" in message
    assert signs == [run.run_id]
    assert list(site.home.live_runs.iterdir()) == []
    with home_lock(site.home, "the test", wait_seconds=0):
        pass


def test_a_busy_home_fails_the_run_in_words_and_within_the_wait(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run tells who works there."""
    make_source(site.source, [execution(NOON - HOUR)])
    rules = site.source.with_name("rules.yaml")
    rules.write_text("home: {lock_wait_seconds: 0.2}")
    monkeypatch.setenv("DBMON_CONFIG", str(rules))
    with (
        running(HOLD_FILE, site.home.lock),
        pytest.raises(RefreshError, match="is in use by"),
    ):
        site.refresh()
    assert site.last_run().status is dg.DagsterRunStatus.FAILURE
    assert list(site.home.live_runs.iterdir()) == []
    assert site.refresh().is_success


def test_connections_of_the_resource_see_the_warehouse(site: Site) -> None:
    """For users of the resource that it is built on."""
    make_source(site.source, [execution(NOON - HOUR), execution(NOON - 2 * HOUR)])
    site.refresh()

    @dg.op
    def count(warehouse: WarehouseResource) -> int:
        with warehouse.get_connection() as con:
            (rows,) = con.execute("SELECT count(*) FROM executions").fetchall()[0]
        return int(rows)

    @dg.job(resource_defs={"warehouse": WarehouseResource(database="unused")})
    def counting() -> None:
        count()

    assert counting.execute_in_process(instance=site.instance).output_for_node("count") == 2


@pytest.mark.parametrize("shows_that_it_lives", [True, False])
def test_a_killed_refresh_is_reported_and_the_next_heals(
    site: Site, *, shows_that_it_lives: bool
) -> None:
    """The machine dies, or somebody loses patience: ``kill -9`` while the run is started.

    In the moment before a run shows that it lives, it cannot be told from one that is about to:
    then it is reported a minute later.
    """
    now = datetime.now(UTC).replace(tzinfo=None)
    make_source(site.source, [execution(now - number * DAY) for number in range(1, 30)])
    killed = subprocess.Popen(REFRESH, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        run = _wait_until_started(site, killed, shows_that_it_lives=shows_that_it_lives)
        killed.send_signal(signal.SIGKILL)
    finally:
        killed.kill()
        killed.wait()
    assert killed.returncode == -signal.SIGKILL
    assert status(site, run) is dg.DagsterRunStatus.STARTED
    assert not site.home.current.exists()

    again = subprocess.run(REFRESH, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    if not shows_that_it_lives:
        _age(site, run, minutes_ago=2)
        report_dead_runs(site.instance, site.home, "")
    assert status(site, run) is dg.DagsterRunStatus.FAILURE
    assert site.last_run().status is dg.DagsterRunStatus.SUCCESS
    assert site.generation == 1
    assert site.warehouse("SELECT count(*) FROM executions") == [(29,)]
    assert site.warehouse("SELECT sum(executions) FROM daily_summary") == [(29,)]
    assert list(site.home.live_runs.iterdir()) == []


def _wait_until_started(
    site: Site, process: subprocess.Popen[bytes], *, shows_that_it_lives: bool
) -> dg.DagsterRun:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        for run in site.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
            if not shows_that_it_lives or (site.home.live_runs / run.run_id).exists():
                return run
        time.sleep(0.01)
    raise AssertionError(f"no run was started; exit code {process.poll()}")
