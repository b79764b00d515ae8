"""Schedules ask for a run of every stretch of days that changed, and never miss a turn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dbmon_pipeline.definitions import defs
from dbmon_pipeline.orchestration import schedules
from dbmon_pipeline_tests.helpers import (
    HOLD_FILE,
    add_rows,
    change_source,
    execution,
    make_source,
    running,
)
from dbmon_pipeline_tests.orchestration.site import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    TODAY,
    Site,
    open_site,
    refreshed_template,
    stretch_of,
)

MIDNIGHT = NOON + 12 * HOUR
LATE_DAY = TODAY - 40 * DAY


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, empty_template: Path) -> Path:
    """What ``refreshed`` is a copy of."""
    return refreshed_template(
        tmp_path_factory.mktemp("refreshed") / "site",
        empty_template,
        [execution(NOON - 50 * DAY), execution(NOON - HOUR)],
        TODAY - 50 * DAY,
    )


@pytest.fixture
def refreshed(tmp_path: Path, template: Path) -> Iterator[Site]:
    """A home that has read a source of 50 days."""
    with open_site(tmp_path / "site", template) as made:
        yield made


def tick(site: Site, name: str) -> list[tuple[str, str]]:
    """Evaluate a schedule as the daemon does, and return the stretches that it asks for."""
    data = site.schedule_tick(name)
    assert data.skip_message is None
    run_keys = [request.run_key for request in data.run_requests or ()]
    assert len(set(run_keys)) == len(run_keys)
    return [stretch_of(request) for request in data.run_requests or ()]


def test_without_a_change_the_open_day_is_refreshed(refreshed: Site) -> None:
    """Time moves on although the source does not."""
    assert tick(refreshed, "hourly_refresh") == [("2025-06-11", "2025-06-11")]
    assert tick(refreshed, "daily_refresh") == [("2025-06-11", "2025-06-11")]


def test_hourly_asks_for_each_stretch_of_changed_days(refreshed: Site) -> None:
    """Two runs from one tick, which Dagster refuses without run keys."""
    add_rows(refreshed.source, [execution(NOON - 2 * DAY), execution(NOON - MINUTE)])
    assert tick(refreshed, "hourly_refresh") == [
        ("2025-06-09", "2025-06-09"),
        ("2025-06-11", "2025-06-11"),
    ]


def test_just_after_midnight_yesterday_is_finished(refreshed: Site) -> None:
    """Rows of both days become one run."""
    refreshed.clock.now = MIDNIGHT + 5 * MINUTE
    add_rows(refreshed.source, [execution(MIDNIGHT - MINUTE), execution(MIDNIGHT + MINUTE)])
    asked = tick(refreshed, "hourly_refresh")
    assert asked == [("2025-06-11", "2025-06-12")]


def test_just_after_midnight_yesterday_alone(refreshed: Site) -> None:
    """The last minutes of a day are not left behind."""
    refreshed.clock.now = MIDNIGHT + 5 * MINUTE
    add_rows(refreshed.source, [execution(MIDNIGHT - MINUTE)])
    assert tick(refreshed, "hourly_refresh") == [("2025-06-11", "2025-06-11")]


def test_daily_finds_what_hourly_does_not(refreshed: Site) -> None:
    """Forty days back is beyond 48 hours."""
    refreshed.refresh()  # of what is another file, all is compared
    add_rows(refreshed.source, [execution(NOON - 40 * DAY)])
    assert tick(refreshed, "hourly_refresh") == [("2025-06-11", "2025-06-11")]
    asked = (LATE_DAY.isoformat(), LATE_DAY.isoformat())
    assert tick(refreshed, "daily_refresh") == [asked]


def test_daily_finds_changed_and_deleted_rows(refreshed: Site) -> None:
    """Not only new ones."""
    add_rows(refreshed.source, [execution(NOON - 30 * DAY, repo="gone")])
    refreshed.refresh((NOON - 30 * DAY).date(), TODAY)
    change_source(refreshed.source, "DELETE FROM executions WHERE repo = 'gone'")
    change_source(
        refreshed.source,
        "UPDATE executions SET user_rating = 1 WHERE timestamp < $at",
        at=NOON - 49 * DAY,
    )
    assert tick(refreshed, "daily_refresh") == [
        ("2025-04-22", "2025-04-22"),
        ("2025-05-12", "2025-05-12"),
    ]


def test_a_late_row_is_in_the_figures_after_the_daily_run(refreshed: Site) -> None:
    """From the tick to the table."""
    add_rows(refreshed.source, [execution(NOON - 40 * DAY)])
    (request,) = refreshed.schedule_tick("daily_refresh").run_requests or ()
    assert refreshed.run(request).success
    assert refreshed.metadata("executions")["late_rows_repaired"] == 1
    assert refreshed.warehouse(
        "SELECT executions FROM daily_summary WHERE date = $day", day=LATE_DAY
    ) == [(1,)]
    assert tick(refreshed, "daily_refresh") == [("2025-06-11", "2025-06-11")]


def test_a_new_source_is_read_from_its_first_day(site: Site) -> None:
    """One run from the source's first day on."""
    make_source(site.source, [execution(NOON - 5 * DAY), execution(NOON - HOUR)])
    assert tick(site, "hourly_refresh") == [("2025-06-06", "2025-06-11")]


def test_a_refresh_under_way_is_waited_for_by_the_run(
    refreshed: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tick does not wait, nor does it skip."""
    monkeypatch.setattr(schedules, "_WAIT_SECONDS", 0.2)
    add_rows(refreshed.source, [execution(NOON - 40 * DAY)])
    with running(HOLD_FILE, refreshed.home.lock):
        assert tick(refreshed, "daily_refresh") == [("2025-06-11", "2025-06-11")]


def test_an_unreadable_source_becomes_a_failed_run(refreshed: Site) -> None:
    """A tick that raises is seen by nobody; a run that fails has a check and an event."""
    refreshed.source.rename(refreshed.source.with_name("elsewhere"))
    assert tick(refreshed, "hourly_refresh") == [("2025-06-11", "2025-06-11")]
    result = refreshed.run()
    assert not result.success
    assert refreshed.generation == 1


def test_the_retention_runs_without_configuration(site: Site) -> None:
    """Every night, as it is."""
    (request,) = site.schedule_tick("retention").run_requests or ()
    assert dict(request.run_config or {}) == {}


@pytest.mark.parametrize(
    ("name", "job", "cron"),
    [
        ("health_check", "refresh", "*/5 * * * *"),
        ("hourly_refresh", "refresh", "5 * * * *"),
        ("daily_refresh", "refresh", "15 0 * * *"),
        ("retention", "retention", "30 3 * * *"),
    ],
)
def test_when_they_run(name: str, job: str, cron: str) -> None:
    """In UTC, and without anybody switching them on."""
    schedule = defs.resolve_schedule_def(name)
    assert schedule.cron_schedule == cron
    assert schedule.job_name == job
    assert schedule.execution_timezone == "UTC"
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert schedule.description
