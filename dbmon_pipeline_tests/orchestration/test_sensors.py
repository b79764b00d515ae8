"""The sensor asks for exactly the runs that are needed, and for none twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.source.file_check import signature
from dbmon_pipeline.orchestration import assets, sensors
from dbmon_pipeline_tests.helpers import (
    HOLD_DATABASE,
    HOLD_FILE,
    add_rows,
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
    sensor_tick,
    stretch_of,
)
from dbmon_pipeline_tests.orchestration.test_checks import refuse


class Sensor:
    """The sensor, with the cursor that the daemon would keep."""

    def __init__(self, site: Site) -> None:
        """Start without a cursor."""
        self._site = site
        self.cursor: str | None = None
        self._skipped: str | None = None

    def tick(self) -> list[dg.RunRequest]:
        """Evaluate a tick as the daemon does; a run key that was run is not asked for again."""
        data = sensor_tick(self._site.instance, "source_changes_sensor", self.cursor)
        self.cursor, self._skipped = data.cursor, data.skip_message
        return list(data.run_requests or ())

    def skip(self) -> str:
        """The reason for which a tick asks for nothing."""
        assert self.tick() == []
        assert self._skipped
        return self._skipped

    def new(self) -> list[dg.RunRequest]:
        """The requests of a tick for which the daemon would launch a run."""
        return [
            request
            for request in self.tick()
            if not self._site.instance.get_runs(
                dg.RunsFilter(tags={"dagster/run_key": request.run_key or ""})
            )
        ]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, empty_template: Path) -> Path:
    """What ``read`` is a copy of."""
    return refreshed_template(
        tmp_path_factory.mktemp("read") / "site",
        empty_template,
        [execution(NOON - 15 * DAY), execution(NOON - 6 * HOUR)],
        TODAY - 15 * DAY,
    )


@pytest.fixture
def read(tmp_path: Path, template: Path) -> Iterator[Site]:
    """A home that has read a source of fifteen days."""
    with open_site(tmp_path / "site", template) as made:
        yield made


def stretches(requests: list[dg.RunRequest]) -> list[tuple[str, str]]:
    """The stretches of run requests."""
    return [stretch_of(request) for request in requests]


def test_a_new_source_is_read_in_one_run_and_then_left_alone(site: Site) -> None:
    """One run, one look that finds nothing, then no look at all."""
    sensor = Sensor(site)
    make_source(site.source, [execution(NOON - 9 * DAY), execution(NOON - HOUR)])
    (request,) = sensor.new()
    assert stretch_of(request) == ("2025-06-02", "2025-06-11")
    assert site.run(request).success
    assert site.generation == 1
    assert Published(site.home).manifest.rows("daily_summary") == 2

    assert sensor.skip() == "nothing in the source differs from what was read"
    assert sensor.cursor == signature(site.source)
    assert sensor.skip() == "the source file has not changed since it was last compared"


def test_five_hours_of_downtime_heal_in_one_run(read: Site) -> None:
    """Whatever was missed is one stretch."""
    sensor = Sensor(read)
    assert sensor.tick() == []
    read.clock.now = NOON + 5 * HOUR
    rows = [execution(NOON + number * 10 * MINUTE) for number in range(30)]
    add_rows(read.source, rows)
    (request,) = sensor.new()
    assert stretch_of(request) == ("2025-06-11", "2025-06-11")
    assert read.run(request).success
    assert read.metadata("executions")["rows_extracted"] == 30
    assert read.metadata("executions")["hours_touched"] == 5
    assert read.metadata("executions")["data_through"] == "2025-06-11T17:00:00Z"
    assert sensor.tick() == []
    assert sensor.cursor == signature(read.source)


def test_three_days_of_downtime_heal_in_one_run(read: Site) -> None:
    """Longer than the sensor looks back."""
    sensor = Sensor(read)
    read.clock.now = NOON + 4 * DAY
    add_rows(read.source, [execution(NOON + number * HOUR) for number in range(96)])
    (request,) = sensor.new()
    assert stretch_of(request) == ("2025-06-11", "2025-06-15")
    assert read.run(request).success
    assert read.metadata("executions")["rows_extracted"] == 96
    assert sensor.tick() == []


def test_a_row_ten_days_late_is_left_to_the_daily_schedule(read: Site) -> None:
    """It lies beyond 48 hours."""
    read.refresh()  # of what is another file, all is compared
    sensor = Sensor(read)
    add_rows(read.source, [execution(NOON - 10 * DAY)])
    assert sensor.skip() == "nothing in the source differs from what was read"
    assert sensor.cursor == signature(read.source)


def test_a_row_thirty_hours_late_is_read(read: Site) -> None:
    """It lies within 48 hours."""
    sensor = Sensor(read)
    add_rows(read.source, [execution(NOON - 30 * HOUR)])
    (request,) = sensor.new()
    assert stretch_of(request) == ("2025-06-10", "2025-06-10")
    assert read.run(request).success
    assert read.metadata("executions")["late_rows_repaired"] == 1
    assert read.warehouse("SELECT count(*) FROM executions") == [(3,)]
    assert sensor.tick() == []


def test_two_separate_days_are_two_runs(read: Site) -> None:
    """Neither is forgotten when only one of them was run."""
    sensor = Sensor(read)
    add_rows(read.source, [execution(NOON - 47 * HOUR), execution(NOON - MINUTE)])
    requests = sensor.new()
    assert stretches(requests) == [("2025-06-09", "2025-06-09"), ("2025-06-11", "2025-06-11")]
    assert len({request.run_key for request in requests}) == 2
    assert read.run(requests[0]).success
    assert read.metadata("executions")["hours_left"] == 1
    assert stretches(sensor.new()) == [("2025-06-11", "2025-06-11")]
    assert read.run(requests[1]).success
    assert sensor.tick() == []
    assert read.warehouse("SELECT count(*) FROM executions") == [(4,)]


def test_a_refresh_under_way_is_left_alone(read: Site) -> None:
    """The reason names who works; the next tick looks again."""
    sensor = Sensor(read)
    add_rows(read.source, [execution(NOON - MINUTE)])
    with running(HOLD_FILE, read.home.lock):
        assert sensor.skip().startswith(f"{read.home.path} is in use by ")
    assert sensor.cursor is None
    assert len(sensor.new()) == 1


def test_a_missing_source_is_told(site: Site) -> None:
    """As a reason to skip, not as an exception."""
    sensor = Sensor(site)
    assert sensor.skip().startswith(f"{site.source} does not exist: ")


def test_a_locked_source_is_told(read: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a reason to skip; the next tick looks again."""
    sensor = Sensor(read)
    add_rows(read.source, [execution(NOON - MINUTE)])
    rules = read.source.with_name("rules.yaml")
    rules.write_text("source: {lock_wait_seconds: 0.1, snapshot: false}")
    monkeypatch.setenv("DBMON_CONFIG", str(rules))
    with running(HOLD_DATABASE, read.source):
        assert sensor.skip().startswith(f"{read.source} is locked: ")
    assert sensor.cursor is None
    assert len(sensor.new()) == 1


def test_a_failing_state_is_asked_for_once(read: Site) -> None:
    """Until the source changes; the hourly schedule goes on trying."""
    sensor = Sensor(read)
    add_rows(read.source, [execution(NOON - MINUTE)])
    (request,) = sensor.new()
    with read.patch.context() as patch:
        patch.setattr(assets, "publish", refuse)
        assert not read.run(request).success
    (again,) = sensor.tick()
    assert again.run_key == request.run_key
    assert sensor.new() == []
    add_rows(read.source, [execution(NOON - 2 * MINUTE)])
    (fresh,) = sensor.new()
    assert fresh.run_key != request.run_key
    assert read.run(fresh).success
    assert sensor.tick() == []


def test_a_waiting_run_is_enough(read: Site) -> None:
    """A second one would find nothing to do."""
    sensor = Sensor(read)
    add_rows(read.source, [execution(NOON - MINUTE)])
    waiting = read.make_run(dg.DagsterRunStatus.QUEUED)
    assert sensor.skip() == "a refresh is about to start"
    read.instance.report_run_failed(waiting)
    assert len(sensor.new()) == 1


def test_an_empty_source_needs_no_run(site: Site) -> None:
    """There is nothing to read."""
    sensor = Sensor(site)
    make_source(site.source)
    assert sensor.tick() == []
    assert sensor.cursor == signature(site.source)


def test_it_runs_every_minute() -> None:
    """From the start."""
    sensor = sensors.source_changes_sensor
    assert sensor.minimum_interval_seconds == 60
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.job_name == "refresh"
