"""A home's Dagster instance is the shipped one, and a failed refresh says why."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from dbmon_pipeline.core.common.errors import HomeError, RefreshError
from dbmon_pipeline.core.common.shipped import shipped
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.orchestration import assets
from dbmon_pipeline.orchestration.instance import opened, prepare
from dbmon_pipeline_tests.helpers import execution, make_source
from dbmon_pipeline_tests.orchestration.site import DAY, HOUR, NOON, TODAY, Site, keys

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


def test_runs_are_there_when_it_is_opened_again(site: Site) -> None:
    """It is a real one, on disk."""
    make_source(site.source, [execution(NOON - HOUR)])
    run = site.refresh()
    with opened(site.home) as again:
        found = again.get_run_by_id(run.run_id)
    assert found
    assert found.status is dg.DagsterRunStatus.SUCCESS


def test_the_message_of_a_failed_refresh_is_the_core_s_own(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the run to look at; and also where the core has no words."""
    with pytest.raises(RefreshError) as missing:
        site.refresh()
    run = site.last_run()
    assert run.status is dg.DagsterRunStatus.FAILURE
    message = str(missing.value)
    assert message.startswith(
        f"{site.source} does not exist: name the learning.db with --source or DBMON_SOURCE,"
        " or run dbmon sample: "
    )
    assert message.endswith(f"see run {run.run_id} in dbmon dev")

    make_source(site.source, [execution(NOON - HOUR)])

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("nothing is known of this")

    monkeypatch.setattr(assets, "publish", broken)
    with pytest.raises(RefreshError, match="nothing is known of this"):
        site.refresh()


def test_going_back_in_time_is_refused(site: Site) -> None:
    """What was published stays."""
    make_source(site.source, [execution(NOON - HOUR)])
    site.refresh()
    site.clock.now = NOON - HOUR
    with pytest.raises(RefreshError, match=r"as-of 2025-06-11T11:00:00Z lies before 2025-06-11T12"):
        site.refresh()
    assert site.generation == 1


def test_ninety_days_are_one_run(site: Site) -> None:
    """A stretch of ninety days is one run, and each of its days is materialized."""
    first = TODAY - 89 * DAY
    make_source(site.source, [execution(NOON - number * DAY - HOUR) for number in range(90)])
    run = site.refresh(first, TODAY)
    assert [found.run_id for found in site.instance.get_runs()] == [run.run_id]
    assert site.materialized_days() == keys(first, TODAY)
    assert len(keys(first, TODAY)) == 90
    assert site.metadata("executions")["days_touched"] == 90
    assert site.warehouse("SELECT count(*), sum(executions) FROM daily_summary") == [(90, 90)]
