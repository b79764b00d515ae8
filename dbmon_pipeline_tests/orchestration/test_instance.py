"""A home's Dagster instance is the shipped one, and a failed refresh says why."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from dbmon_pipeline.core.common.errors import HomeError, RefreshError
from dbmon_pipeline.core.common.shipped import shipped
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.orchestration.instance import open_instance, prepare
from dbmon_pipeline_tests.command import dbmon_here
from dbmon_pipeline_tests.helpers import execution, make_source, run_dbmon
from dbmon_pipeline_tests.orchestration.site import HOUR, NOON, Site

SHIPPED = shipped("config", "dagster.yaml")


def test_a_home_gets_the_shipped_configuration(tmp_path: Path) -> None:
    """Made anew where it differs, else left."""
    home = Home(tmp_path / "new" / "home")
    assert prepare(home) == home.dagster
    configuration = home.dagster / "dagster.yaml"
    assert configuration.read_text() == SHIPPED.read_text()
    before = configuration.stat()
    prepare(home)
    assert configuration.stat().st_ino == before.st_ino, "an equal file is left"
    configuration.write_text("telemetry: {enabled: true}\n")
    prepare(home)
    assert configuration.read_text() == SHIPPED.read_text()


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """In words of ours."""
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeError, match="cannot be written"):
        prepare(Home(tmp_path / "file" / "home"))


def test_the_instance_is_as_configured(site: Site) -> None:
    """Dagster understands each of the shipped settings."""
    instance = site.instance
    assert instance.root_directory == str(site.home.dagster)
    assert not instance.is_ephemeral
    assert not instance.telemetry_enabled
    assert instance.run_monitoring_enabled
    assert instance.run_retries_enabled
    assert instance.run_retries_max_retries == 2
    assert not instance.run_retries_retry_on_asset_or_op_failure
    assert instance.get_concurrency_config().pool_config.default_pool_limit is None


def test_a_refresh_without_a_source(site: Site) -> None:
    """The message is the core's own; the failed run is there when the instance is opened again."""
    with pytest.raises(RefreshError) as missing:
        site.refresh()
    assert str(missing.value) == (
        f"{site.source} does not exist: name the learning.db with --source or DBMON_SOURCE,"
        " or run dbmon sample"
    )
    with open_instance(site.home) as again:
        (found,) = again.get_runs()
    assert found.status is dg.DagsterRunStatus.FAILURE


def test_the_command_tells_one_line(site: Site) -> None:
    """On stderr, with exit code 0 for what was published and 3 for a source that is missing."""
    missing = dbmon_here("refresh", DBMON_SOURCE=site.source, DBMON_HOME=site.home.path)
    assert (missing.returncode, missing.stdout) == (3, "")
    assert missing.stderr == (
        f"dbmon: {site.source} does not exist: name the learning.db with --source or DBMON_SOURCE,"
        " or run dbmon sample\n"
    )
    make_source(site.source, [execution(NOON - HOUR)])
    done = run_dbmon(
        *("refresh", "--as-of", "2025-06-11T12:00:00Z", "--since", "2025-06-01"),
        DBMON_SOURCE=site.source,
        DBMON_HOME=site.home.path,
    )
    assert done.returncode == 0, done.stderr
    *progress, last = done.stderr.splitlines()
    assert last == (
        "published generation 1: 1 new or changed rows; the source was read through"
        " 2025-06-11T12:00:00Z"
    )
    assert not any(line.startswith(("warning", "dbmon")) for line in progress)
    refused = dbmon_here("refresh", "--until", "2025-06-01", DBMON_HOME=site.home.path)
    assert (refused.returncode, refused.stderr) == (
        3,
        "dbmon: until is given without since: give the first day to read again, too\n",
    )
