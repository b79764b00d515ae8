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
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.refresh.refresh import Publication, Refresh
from dbmon_pipeline.orchestration.live_runs import report_dead_runs
from dbmon_pipeline.orchestration.namespace import Namespace
from dbmon_pipeline_tests.helpers import HOLD_FILE, execution, make_source, running
from dbmon_pipeline_tests.orchestration.site import DAY, HOUR, NOON, Site

REFRESH = [str(Path(sys.executable).with_name("dbmon")), "refresh"]
OURS = Namespace()


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


def report(site: Site, this_run: str = "", namespace: Namespace = OURS) -> None:
    """Report dead runs, as whoever takes the lock does."""
    report_dead_runs(site.instance, site.home, namespace, this_run)


def test_an_old_run_without_a_sign_is_dead(site: Site) -> None:
    """A young one may be about to show that it lives; one that is this run is not dead."""
    old, young = started(site, minutes_ago=2), started(site, minutes_ago=0.5)
    this = started(site, minutes_ago=600)
    report(site, this.run_id)
    assert status(site, old) is dg.DagsterRunStatus.FAILURE
    assert status(site, young) is dg.DagsterRunStatus.STARTED
    assert status(site, this) is dg.DagsterRunStatus.STARTED


def test_runs_of_others_are_left_alone(site: Site) -> None:
    """The instance may be a host's; only a run that left its sign in this home is ours for sure."""
    theirs = started(site, minutes_ago=600)
    other = Namespace("other")
    report(site, namespace=other)
    assert status(site, theirs) is dg.DagsterRunStatus.STARTED
    sign = site.home.live_runs / theirs.run_id
    sign.parent.mkdir(parents=True, exist_ok=True)
    sign.touch()
    report(site, namespace=other)
    assert status(site, theirs) is dg.DagsterRunStatus.FAILURE


def test_a_run_whose_process_lives_is_not_dead(site: Site) -> None:
    """However old it is; when the process ends, it is."""
    run = started(site, minutes_ago=600)
    sign = site.home.live_runs / run.run_id
    with running(HOLD_FILE, sign):
        report(site)
        assert status(site, run) is dg.DagsterRunStatus.STARTED
    report(site)
    assert status(site, run) is dg.DagsterRunStatus.FAILURE
    assert not sign.exists()


def test_a_run_that_left_its_sign_behind_is_dead_at_once(site: Site) -> None:
    """A sign that nobody holds needs no grace."""
    run = started(site, minutes_ago=0)
    sign = site.home.live_runs / run.run_id
    sign.parent.mkdir(parents=True)
    sign.touch()
    report(site)
    assert status(site, run) is dg.DagsterRunStatus.FAILURE
    assert not sign.exists()


def test_waiting_and_finished_runs_are_left_alone(site: Site) -> None:
    """Only what is started or being cancelled can have died."""
    others = (
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.SUCCESS,
        dg.DagsterRunStatus.CANCELED,
    )
    runs = [(site.make_run(other), other) for other in others]
    canceling = site.make_run(dg.DagsterRunStatus.CANCELING)
    _age(site, canceling, minutes_ago=2)
    report(site)
    assert [status(site, run) for run, _ in runs] == [other for _, other in runs]
    assert status(site, canceling) is dg.DagsterRunStatus.FAILURE


def test_a_run_holds_the_lock_and_reports_the_dead(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For its whole length, and not longer; a home that is in use fails the run in words."""
    make_source(site.source, [execution(NOON - HOUR)])
    rules = site.source.with_name("rules.yaml")
    rules.write_text("home: {lock_wait_seconds: 0.2}")
    monkeypatch.setenv("DBMON_CONFIG", str(rules))
    with running(HOLD_FILE, site.home.lock), pytest.raises(RefreshError, match="is in use by"):
        site.refresh()
    assert site.last_run().status is dg.DagsterRunStatus.FAILURE
    assert list(site.home.live_runs.iterdir()) == []

    dead = started(site, minutes_ago=2)
    seen: list[tuple[str, list[str], dg.DagsterRunStatus]] = []
    publish = Refresh.publish

    def looking(refresh: Refresh) -> Publication:
        with (
            pytest.raises(HomeBusyError) as caught,
            home_lock(site.home, "the test", wait_seconds=0),
        ):
            pass
        signs = [path.name for path in site.home.live_runs.iterdir()]
        seen.append((str(caught.value), signs, status(site, dead)))
        return publish(refresh)

    monkeypatch.setattr(Refresh, "publish", looking)
    run = site.refresh()
    ((message, signs, of_dead),) = seen
    assert f"is in use by run {run.run_id[:8]} (process {os.getpid()}" in message
    assert signs == [run.run_id]
    assert of_dead is dg.DagsterRunStatus.FAILURE
    assert list(site.home.live_runs.iterdir()) == []
    with home_lock(site.home, "the test", wait_seconds=0):
        pass


def test_a_killed_refresh_is_reported_and_the_next_heals(site: Site) -> None:
    """The machine dies, or somebody loses patience: ``kill -9`` while the run is started."""
    now = datetime.now(UTC).replace(tzinfo=None)
    make_source(site.source, [execution(now - number * DAY) for number in range(1, 30)])
    killed = subprocess.Popen(REFRESH, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        run = _wait_until_alive(site, killed)
    finally:
        killed.kill()
        killed.wait()
    assert killed.returncode == -signal.SIGKILL
    assert status(site, run) is dg.DagsterRunStatus.STARTED
    assert not site.home.current.exists()

    site.clock.now = datetime.now(UTC).replace(tzinfo=None)
    assert site.refresh().is_success
    assert status(site, run) is dg.DagsterRunStatus.FAILURE
    assert site.generation == 1
    assert Published(site.home).manifest.executions == 29
    assert [path.name for path in site.home.generations.iterdir()] == ["000001"]
    assert list(site.home.live_runs.iterdir()) == []


def _wait_until_alive(site: Site, process: subprocess.Popen[bytes]) -> dg.DagsterRun:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        for run in site.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
            if (site.home.live_runs / run.run_id).exists():
                return run
        time.sleep(0.01)
    raise AssertionError(f"no run was started; exit code {process.poll()}")
