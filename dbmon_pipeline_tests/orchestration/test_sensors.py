"""The sensor asks for a run when the source was written, and not more often than it may."""

from __future__ import annotations

import math
import time

import dagster as dg
import pytest

from dbmon_pipeline.core.source.file_check import signature
from dbmon_pipeline.orchestration import sensors
from dbmon_pipeline.orchestration.definitions_builder import build_definitions
from dbmon_pipeline_tests.helpers import HOLD_FILE, add_rows, execution, make_source, running
from dbmon_pipeline_tests.orchestration.site import HOUR, MINUTE, NOON, Site, sensor_tick

TOO_SOON = "the last refresh began less than 85 s ago"
UNCHANGED = "the source file has not changed"


class Sensor:
    """The sensor, with the cursor that the daemon would keep, some seconds from now."""

    def __init__(self, site: Site) -> None:
        """Start without a cursor."""
        self._site = site
        self.cursor: str | None = None
        self.seconds = 0.0
        site.patch.setattr(sensors, "time", lambda: time.time() + self.seconds)

    def tick(self) -> dg.RunRequest | str:
        """Evaluate a tick as the daemon does: what it asks for, or why it asks for nothing."""
        data = self._site.sensor_tick("source_changes_sensor", self.cursor)
        self.cursor = data.cursor
        if data.skip_message:
            return data.skip_message
        (request,) = data.run_requests or ()
        return request

    def request(self) -> dg.RunRequest:
        """The run that a tick asks for."""
        found = self.tick()
        assert isinstance(found, dg.RunRequest), found
        return found


def test_a_change_is_refreshed_once_and_not_too_soon(site: Site) -> None:
    """From the first tick to the published figures; what comes meanwhile waits for the next run."""
    sensor = Sensor(site)
    assert str(sensor.tick()).startswith(f"{site.source} does not exist: ")
    make_source(site.source, [execution(NOON - HOUR)])
    first = sensor.request()
    assert sensor.cursor == signature(site.source)
    assert not first.run_config
    assert sensor.tick() == UNCHANGED
    add_rows(site.source, [execution(NOON - MINUTE)])
    assert site.run(first).success
    assert site.published().manifest.executions == 2

    add_rows(site.source, [execution(NOON - 2 * MINUTE)])
    before = sensor.cursor
    assert sensor.tick() == TOO_SOON
    assert sensor.cursor == before, "the next tick looks again"
    sensor.seconds = 86
    second = sensor.request()
    assert second.run_key != first.run_key
    assert site.run(second).success
    assert site.published().manifest.executions == 3
    sensor.seconds = 999
    assert sensor.tick() == UNCHANGED


def test_a_run_that_waits_or_works_is_enough(site: Site) -> None:
    """A run whose process has died is none, and neither is one of another job."""
    sensor = Sensor(site)
    sensor.seconds = 3600
    make_source(site.source, [execution(NOON - HOUR)])
    waiting = site.make_run(dg.DagsterRunStatus.QUEUED)
    assert sensor.tick() == "a refresh is about to start"
    site.instance.report_run_failed(waiting)
    working = site.make_run(dg.DagsterRunStatus.STARTED)
    sign = site.home.live_runs / working.run_id
    with running(HOLD_FILE, sign):
        assert sensor.tick() == "a refresh is under way"
    assert sensor.cursor is None
    assert sensor.request().run_key


def test_figures_are_two_minutes_old_at_most(site: Site) -> None:
    """A run begins 105 s after the one before at the latest, which leaves 15 s to start and work.

    The daemon looks every five seconds whether a tick is due, so ticks come at multiples of that.
    """
    definition = site.definitions.resolve_sensor_def("source_changes_sensor")
    assert definition.minimum_interval_seconds
    tick_seconds = math.ceil(definition.minimum_interval_seconds / 5) * 5
    make_source(site.source)
    site.make_run(dg.DagsterRunStatus.SUCCESS)
    (run,) = site.instance.get_run_records()
    began, sensor = run.create_timestamp.timestamp(), Sensor(site)
    site.patch.setattr(sensors, "time", lambda: began + sensor.seconds)

    def seconds_until_run(first_tick: int) -> float:
        sensor.cursor, sensor.seconds = None, first_tick
        while sensor.tick() == TOO_SOON:
            sensor.seconds += tick_seconds
        return sensor.seconds

    for first_tick in range(1, tick_seconds + 1):
        assert 84 <= seconds_until_run(first_tick) <= 105, "often enough, and not more often"
        assert sensor.cursor, "a run was asked for"


def test_it_looks_three_times_a_minute(site: Site) -> None:
    """From the start, and without opening the source."""
    sensor = site.definitions.resolve_sensor_def("source_changes_sensor")
    assert sensor.minimum_interval_seconds == 18
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.job_name == "refresh"
    site.source.write_text("no database")
    assert isinstance(Sensor(site).tick(), dg.RunRequest)


@pytest.mark.parametrize("name", ["agents", "dbmon"])
def test_it_knows_the_names_of_its_job(site: Site, name: str) -> None:
    """Runs of another project in the same instance do not hold it up."""
    make_source(site.source)
    site.make_run(dg.DagsterRunStatus.QUEUED)
    definitions = build_definitions(site.settings, name=name)
    full_name = "source_changes_sensor" if name == "dbmon" else f"{name}_source_changes_sensor"
    data = sensor_tick(definitions, site.instance, full_name)
    assert bool(data.run_requests) is (name == "agents")
