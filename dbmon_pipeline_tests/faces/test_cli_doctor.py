"""``dbmon doctor`` and ``dbmon prepare`` as they are called: lines, JSON, exit codes, secrets."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat

from dbmon_pipeline.core.common.instants import utc_now
from dbmon_pipeline.core.common.shipped import shipped
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline_tests.command import dbmon_here
from dbmon_pipeline_tests.helpers import (
    clean_environ,
    execution,
    make_source,
    run_dbmon,
    settings_for,
)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home that the command refreshed once, and whose daemon lives."""
    made = settings_for(tmp_path_factory.mktemp("doctor"))
    make_source(made.source, [execution(utc_now() - timedelta(minutes=9))])
    assert dbmon_here("refresh", *where(made)).returncode == 0
    with dg.DagsterInstance.from_config(str(made.home.dagster)) as instance:
        for kind in instance.get_required_daemon_types():
            instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), kind, "id", None))
    return made


def where(settings: Settings) -> tuple[object, ...]:
    """The options that name a source and a home."""
    return ("--source", settings.source, "--home", settings.home.path)


def test_all_is_well(settings: Settings) -> None:
    """A line for each check in the order of the flow, a summary, nothing on stderr, exit code 0."""
    done = run_dbmon("doctor", *where(settings))
    assert (done.returncode, done.stderr) == (0, "")
    *lines, summary = done.stdout.splitlines()
    assert [line[:24].rstrip() for line in lines] == [
        f"ok       {name}"
        for name in (
            *("configuration", "versions", "source", "source schema", "source of home"),
            *("home", "home lock", "disk", "published", "ledger", "generations"),
            *("incident store", "targets", "dagster code", "dagster", "daemon", "runs"),
            "schedules",
        )
    ]
    assert summary == "18 checks: 18 ok"


def test_a_warning_and_a_problem(settings: Settings, tmp_path: Path) -> None:
    """Exit codes 1 and 2; JSON says the same as the lines, and each bad one has its remedy."""
    done = dbmon_here("doctor", "--home", tmp_path / "new", "--source", settings.source)
    assert done.returncode == 1
    assert "warning  home            " in done.stdout
    assert done.stdout.splitlines()[-1].startswith("10 checks: 3 warning, 7 ok")
    done = dbmon_here(
        "doctor", "--json", "--home", tmp_path / "new", "--source", tmp_path / "no.db"
    )
    assert (done.returncode, done.stderr) == (2, "")
    report = json.loads(done.stdout)
    assert report["status"] == "problem"
    [source] = [one for one in report["findings"] if one["level"] == "problem"]
    assert source == {
        "name": "source",
        "level": "problem",
        "seen": f"{tmp_path / 'no.db'} does not exist",
        "remedy": "name the learning.db with --source or DBMON_SOURCE, or run dbmon sample",
    }
    assert [*tmp_path.iterdir()] == []


def test_secrets_are_looked_for_and_not_shown(settings: Settings, tmp_path: Path) -> None:
    """Those that are missing are named by the place where they should be."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "notifications: {targets: {hook: {kind: webhook, url_env: HOOK_URL, secret_env: HOOK_KEY},"
        " mute: {kind: apprise, url_env: OFF_URL, enabled: false}}}\n"
    )
    url = "https://hush.example/x9y8z7"
    missing = dbmon_here("doctor", *where(settings), DBMON_CONFIG=rules, HOOK_URL=url)
    [line] = [line for line in missing.stdout.splitlines() if line.startswith("problem")]
    assert "targets" in line
    assert "the target hook has no secret: the environment variable HOOK_KEY is not set" in line
    there = dbmon_here(
        "doctor",
        *where(settings),
        DBMON_CONFIG=rules,
        HOOK_URL=url,
        HOOK_KEY="s3cr3t-s3cr3t",
    )
    assert there.returncode == 0
    assert "hook is told of incidents; URLs and secrets are set" in there.stdout
    for done in (missing, there):
        assert "x9y8z7" not in done.stdout + done.stderr
        assert "s3cr3t" not in done.stdout + done.stderr


def test_rules_that_are_wrong(settings: Settings, tmp_path: Path) -> None:
    """They are a finding, also of the code that the daemon loads; all else is still told."""
    rules = tmp_path / "rules.yaml"
    rules.write_text("keep: {generations: 0}\n")
    done = dbmon_here("doctor", "--json", *where(settings), DBMON_CONFIG=rules)
    assert done.returncode == 2
    levels = {one["name"]: one["level"] for one in json.loads(done.stdout)["findings"]}
    bad = {name for name, level in levels.items() if level != "ok"}
    assert bad == {"configuration", "dagster code"}
    assert {"ledger", "published", "daemon"} <= {*levels}


def test_without_dagster_the_rest_is_told(settings: Settings) -> None:
    """A broken installation is a finding."""
    code = (
        "import sys\nsys.modules['dagster'] = None\n"
        "from dbmon_pipeline.faces.cli.main import main\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "doctor", *map(str, where(settings))],
        capture_output=True,
        text=True,
        env=clean_environ(),
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, "")
    *_, targets, dagster, summary = done.stdout.splitlines()
    assert targets.startswith("ok       targets")
    assert dagster.startswith("problem  dagster         Dagster cannot be loaded (")
    assert summary == "14 checks: 1 problem, 13 ok"


def test_prepare_prints_the_folder_of_the_instance(tmp_path: Path) -> None:
    """With the configuration that is shipped; a second time changes nothing."""
    configuration = tmp_path / "home" / "dagster" / "dagster.yaml"
    for _ in range(2):
        done = dbmon_here("prepare", "--home", tmp_path / "home")
        assert (done.returncode, done.stdout) == (0, f"{configuration.parent}\n")
    assert configuration.read_text() == shipped("config", "dagster.yaml").read_text()
    (tmp_path / "file").touch()
    refused = dbmon_here("prepare", "--home", tmp_path / "file" / "home")
    assert refused.returncode == 3
    assert "cannot be written" in refused.stderr
