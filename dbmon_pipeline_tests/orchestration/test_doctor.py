"""``dbmon doctor``, Dagster's part: the daemon, runs and switches, looked at without a change."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    TickStatus,
)
from dagster._daemon.types import DaemonHeartbeat
from dagster_shared.error import SerializableErrorInfo

from dbmon_pipeline.core.common.errors import ConfigError
from dbmon_pipeline.core.doctor.finding import Finding, Level
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.definitions import defs
from dbmon_pipeline.orchestration.doctor import examine
from dbmon_pipeline_tests.core.doctor.test_examine import tree
from dbmon_pipeline_tests.helpers import HOLD_FILE, execution, make_source, running
from dbmon_pipeline_tests.orchestration.site import HOUR, NOON, REPOSITORY, Site

STARTED, SUCCESS = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.SUCCESS


def look(home: Home) -> dict[str, Finding]:
    """All findings by name."""
    findings = {one.name: one for one in examine(home, lambda: defs)}
    for one in findings.values():
        assert one.seen.isprintable()
        assert bool(one.remedy) is (one.level is not Level.OK), one
    return findings


def files(folder: Path) -> dict[str, object]:
    """Names, contents and times; in the folders of Dagster's SQLite journals come and go."""
    return {name: state for name, state in tree(folder).items() if (folder / name).is_file()}


def beat(
    site: Site, *, age: float = 0, kind: str | None = None, errors: Sequence[str] = ()
) -> None:
    """Give the sign of life of one daemon, or of all."""
    infos = [SerializableErrorInfo(error, [], "Exception") for error in errors]
    for name in [kind] if kind else site.instance.get_required_daemon_types():
        sign = DaemonHeartbeat(time.time() - age, name, "id", infos)
        site.instance.add_daemon_heartbeat(sign)


def test_all_is_well(site: Site) -> None:
    """After a refresh and with a daemon; nothing is changed by the look."""
    make_source(site.source, [execution(NOON - HOUR)])
    site.refresh()
    beat(site, age=40)
    before = files(site.home.path)
    findings = look(site.home)
    assert files(site.home.path) == before
    assert {one.level for one in findings.values()} == {Level.OK}
    assert {*findings} == {"dagster code", "dagster", "daemon", "runs", "schedules"}
    assert findings["dagster"].seen == f"{site.home.dagster} opens; runs: 1"
    assert findings["daemon"].seen in [
        f"the last sign of life is {age} seconds old" for age in range(40, 60)
    ]
    assert findings["schedules"].seen == "8 schedules and sensors are on"


def test_where_there_is_no_instance_none_is_made(tmp_path: Path) -> None:
    """Nor is the folder."""
    findings = look(Home(tmp_path / "home"))
    assert findings["dagster"].level is Level.WARNING
    assert {*findings} == {"dagster code", "dagster"}
    assert [*tmp_path.iterdir()] == []


def test_the_daemon(site: Site) -> None:
    """It never ran; it lives; one of its threads is silent; it reports an error."""
    never = look(site.home)["daemon"]
    assert never.level is Level.WARNING
    assert never.seen == "no daemon has ever run here, so nothing is scheduled"
    beat(site)
    assert look(site.home)["daemon"].level is Level.OK
    beat(site, age=720, kind="SCHEDULER")
    silent = look(site.home)["daemon"]
    assert silent.level is Level.PROBLEM
    assert silent.seen == "no sign of life of SCHEDULER for up to 12 minutes"
    beat(site, kind="SCHEDULER", errors=["It\nburns."])
    assert look(site.home)["daemon"].seen == "the daemon lives, and reports It burns."


def test_runs_without_a_process(site: Site) -> None:
    """One that has a process is fine; what a dead one has left stays for whoever reports it."""
    run = site.make_run(STARTED)
    sign = site.home.live_runs / run.run_id
    with running(HOLD_FILE, sign):
        alive = look(site.home)["runs"]
    assert (alive.level, alive.seen[:12]) == (Level.OK, "1 under way,")
    told = look(site.home)["runs"]
    assert told.level is Level.WARNING
    assert told.seen == f"1 runs are started, but have no process any more: {run.run_id}"
    assert sign.exists()
    sign.unlink()
    assert look(site.home)["runs"] == told
    make_source(site.source, [execution(NOON - HOUR)])
    site.refresh()
    assert look(site.home)["runs"].level is Level.OK


def test_the_last_run_and_the_last_tick(site: Site) -> None:
    """What failed last is told, as the incidents tell it."""
    site.make_run(dg.DagsterRunStatus.FAILURE)
    site.make_tick("alert_sensor", TickStatus.FAILURE)
    told = look(site.home)["runs"]
    assert told.level is Level.WARNING
    assert told.seen.endswith("of refresh failed; the last tick of alert_sensor failed")
    site.make_run(SUCCESS)
    site.make_tick("alert_sensor", TickStatus.SKIPPED)
    assert look(site.home)["runs"].level is Level.OK


def test_a_schedule_that_was_turned_off(site: Site) -> None:
    """It is named."""
    for name, status in (
        ("hourly_refresh", InstigatorStatus.STOPPED),
        ("daily_refresh", InstigatorStatus.RUNNING),
        ("of_another_project", InstigatorStatus.STOPPED),
    ):
        site.instance.add_instigator_state(
            InstigatorState(
                REPOSITORY.get_instigator_origin(name),
                InstigatorType.SCHEDULE,
                status,
                ScheduleInstigatorData("5 * * * *"),
            )
        )
    told = look(site.home)["schedules"]
    assert (told.level, told.seen) == (Level.WARNING, "turned off: hourly_refresh")


def test_code_that_does_not_load(site: Site) -> None:
    """The daemon could not load it either; the rest is looked at."""

    def broken() -> dg.Definitions:
        raise ConfigError("the rules are wrong", remedy="correct them")

    findings = {one.name: one for one in examine(site.home, broken)}
    assert findings["dagster code"] == Finding(
        "dagster code", Level.PROBLEM, "the rules are wrong", "correct them"
    )
    assert {*findings} == {"dagster code", "dagster", "daemon", "runs"}


def test_an_instance_of_another_version(site: Site) -> None:
    """Its configuration is not what is shipped."""
    (site.home.dagster / "dagster.yaml").write_text("telemetry: {enabled: true}\n")
    told = look(site.home)["dagster"]
    assert told.level is Level.WARNING
    assert told.remedy.startswith("run dbmon prepare")


def test_an_instance_that_is_damaged(empty_template: Path, tmp_path: Path) -> None:
    """It is told once, with the way out."""
    home = Home(tmp_path / "home")
    shutil.copytree(empty_template / "home", home.path)
    (home.dagster / "history" / "runs.db").write_text("hello " * 999)
    findings = look(home)
    assert {*findings} == {"dagster code", "dagster"}
    assert findings["dagster"].level is Level.PROBLEM
    assert "file is not a database" in findings["dagster"].seen


def test_an_instance_that_is_locked(empty_template: Path, tmp_path: Path) -> None:
    """It is waited for as long as SQLite does, and is not called damaged."""
    home = Home(tmp_path / "home")
    shutil.copytree(empty_template / "home", home.path)
    code = (
        "import sqlite3\ncon = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "con.execute('PRAGMA locking_mode = EXCLUSIVE')\ncon.execute('BEGIN EXCLUSIVE')\n"
        "con.execute('CREATE TABLE x (a)')\nwait()"
    )
    with running(code, home.dagster / "history" / "runs.db"):
        started = time.monotonic()
        told = look(home)["dagster"]
        assert time.monotonic() - started < 30
    assert told.level is Level.WARNING
    assert "locked" in told.seen
