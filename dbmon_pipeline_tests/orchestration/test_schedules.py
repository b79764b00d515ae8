"""Schedules ask for a refresh in time, without any config but the days to compare."""

from __future__ import annotations

from datetime import date

import dagster as dg
import pytest

from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.orchestration.definitions_builder import build_definitions
from dbmon_pipeline_tests.helpers import add_rows, change_source, execution, make_source
from dbmon_pipeline_tests.orchestration.site import DAY, HOUR, MINUTE, NOON, Site

DEFINITIONS = build_definitions(Settings.load(environ={}))


def request(site: Site, name: str) -> dg.RunRequest:
    """The one run that a tick asks for."""
    data = site.schedule_tick(name)
    assert data.skip_message is None
    (found,) = data.run_requests or ()
    return found


def test_a_late_row_is_found_by_the_daily_refresh(site: Site) -> None:
    """A changed row forty days back is beyond the 48 hours of others."""
    late = NOON - 40 * DAY
    # The oldest hour, which its owner may be pruning, is compared each time.
    make_source(site.source, [execution(late - DAY), execution(late), execution(NOON - HOUR)])
    site.refresh()
    change_source(
        site.source, "UPDATE executions SET actual_cost = 7 WHERE timestamp = $at", at=late
    )
    site.clock.now += MINUTE
    hourly = request(site, "hourly_refresh")
    assert dict(hourly.run_config) == {}
    assert hourly.run_key == site.clock.now.isoformat()
    assert site.run(hourly).success
    assert _cost(site, late.date()) == pytest.approx(0.01)
    site.clock.now += MINUTE
    daily = request(site, "daily_refresh")
    assert daily.run_config == {"ops": {"refresh_tables": {"config": {"compare_days": 90}}}}
    assert site.run(daily).success
    assert _cost(site, late.date()) == pytest.approx(7)
    assert site.metadata("hour_ledger")["hours_changed"] == 1


def _cost(site: Site, day: date) -> float:
    (row,) = (row for row in site.published_rows("daily_summary") if row["date"] == day)
    return float(row["actual_cost_sum"])


def test_a_missing_source_becomes_a_failed_run(site: Site) -> None:
    """A tick that skips is seen by nobody; the run that fails has an event, in one line."""
    result = site.run(request(site, "hourly_refresh"))
    assert not result.success
    (failed,) = (event for event in result.all_events if event.is_step_failure)
    told = failed.step_failure_data.user_failure_data
    assert told
    assert told.description == (
        f"{site.source} does not exist: name the learning.db with --source or DBMON_SOURCE, or run"
        " dbmon sample"
    )
    assert failed.step_failure_data.error
    assert failed.step_failure_data.error.cause is None
    make_source(site.source)
    add_rows(site.source, [execution(NOON - HOUR)])
    assert site.run(request(site, "hourly_refresh")).success
    assert site.published().manifest.executions == 1


@pytest.mark.parametrize(
    ("name", "job", "cron"),
    [
        ("health_check", "refresh", "0,10-55/5 * * * *"),
        ("hourly_refresh", "refresh", "5 * * * *"),
        ("daily_refresh", "refresh", "15 0 * * *"),
        ("retention", "retention", "30 3 * * *"),
    ],
)
def test_when_they_run(name: str, job: str, cron: str) -> None:
    """In UTC, and without anybody switching them on."""
    schedule = DEFINITIONS.resolve_schedule_def(name)
    assert schedule.cron_schedule == cron
    assert schedule.job_name == job
    assert schedule.execution_timezone == "UTC"
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert schedule.description
