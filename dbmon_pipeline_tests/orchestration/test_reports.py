"""The reports as assets: written without a lock, summed up in the UI, and asked for in time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.orchestration.definitions_builder import build_definitions
from dbmon_pipeline_tests.helpers import HOLD_FILE, execution, running
from dbmon_pipeline_tests.orchestration.site import (
    HOUR,
    NOON,
    Site,
    open_site,
    refreshed_template,
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, empty_template: Path) -> Path:
    """What ``refreshed`` is a copy of."""
    rows = [
        execution(NOON - n * 7 * HOUR - HOUR, repo="<b>mine</b> | [x](y)", success=n % 4 > 0)
        for n in range(40)
    ]
    folder = tmp_path_factory.mktemp("reported") / "site"
    return refreshed_template(folder, empty_template, rows)


@pytest.fixture
def refreshed(tmp_path: Path, template: Path) -> Iterator[Site]:
    """A home in which twelve days are published."""
    with open_site(tmp_path / "site", template) as made:
        yield made


def report(site: Site, name: str) -> dg.ExecuteInProcessResult:
    """Run the job of a report as its schedule asks for it."""
    return site.definitions.resolve_job_def(name).execute_in_process(
        instance=site.instance, raise_on_error=False
    )


@pytest.mark.parametrize(
    ("job", "asset", "length", "count"),
    [
        ("daily_reporting", "daily_report", "24h", 4),
        ("weekly_reporting", "weekly_report", "7d", 24),
    ],
)
def test_a_report_is_written_while_others_hold_all_locks(
    refreshed: Site, job: str, asset: str, length: str, count: int
) -> None:
    """The source is gone and the home in use; the asset tells the gist and where the page is."""
    refreshed.source.unlink()
    with running(HOLD_FILE, refreshed.home.lock):
        assert report(refreshed, job).success
    told = refreshed.metadata(asset)
    page = refreshed.home.reports / f"2025-06-11T120000Z_{length}.html"
    assert (told["page"], told["index"]) == (str(page), str(page.with_name("index.html")))
    assert told["executions"] == count
    data = json.loads(page.with_suffix(".json").read_text("utf-8"))
    assert data["samples"] == count
    assert told["changes_more_than_noise"] == sum(
        change["is_more_than_noise"] is True for change in data["changes"]
    )
    assert f" {count} executions ran" in told["summary"]
    assert told["summary"].count("\n| ") == 8
    assert [*refreshed.home.live_runs.iterdir()] == []


def test_a_refresh_makes_no_report(refreshed: Site) -> None:
    """Nor does a report refresh anything."""
    assert refreshed.run().success
    assert not refreshed.home.reports.exists()
    generation = refreshed.generation
    assert report(refreshed, "daily_reporting").success
    assert refreshed.generation == generation


def test_without_anything_published_the_run_says_so(site: Site) -> None:
    """In one line."""
    result = report(site, "daily_reporting")
    assert not result.success
    (failed,) = (event for event in result.all_events if event.is_step_failure)
    told = failed.step_failure_data.user_failure_data
    assert told
    assert told.description
    assert told.description.endswith("run dbmon refresh first")


@pytest.mark.parametrize("name", ["daily_report", "weekly_report"])
def test_a_tick_asks_for_its_report(site: Site, name: str) -> None:
    """Without configuration."""
    (request,) = site.schedule_tick(name).run_requests or ()
    assert dict(request.run_config or {}) == {}


def test_they_come_in_the_morning_of_the_time_zone(tmp_path: Path) -> None:
    """On Sundays the one of the week."""
    rules = tmp_path / "rules.yaml"
    rules.write_text("report: {time_zone: Asia/Tokyo}\n")
    definitions = build_definitions(Settings.load(home=tmp_path, environ={}, rules=rules))
    found = {
        name: (one.cron_schedule, one.execution_timezone, one.default_status.value)
        for name in ("daily_report", "weekly_report")
        for one in (definitions.resolve_schedule_def(name),)
    }
    assert found == {
        "daily_report": ("0 9 * * *", "Asia/Tokyo", "RUNNING"),
        "weekly_report": ("0 10 * * 0", "Asia/Tokyo", "RUNNING"),
    }
