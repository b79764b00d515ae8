"""A source, a home and its Dagster instance, with what tests do to them."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.definitions.schedule_definition import ScheduleExecutionData
from dagster._core.definitions.sensor_definition import SensorExecutionData, SensorType
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from dagster._core.workspace.load_target import ModuleTarget
from dagster_shared.error import SerializableErrorInfo
from sqlalchemy import Engine, create_engine

from dbmon_pipeline.core.common import instants
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.orchestration.definitions_builder import build_definitions
from dbmon_pipeline.orchestration.instance import LOCATION, RefreshRun, open_instance, run_refresh
from dbmon_pipeline_tests.helpers import make_source, published_rows

WORKSPACE = ModuleTarget("dbmon_pipeline.definitions", None, None, LOCATION)
"""The code location, as ``workspace.yaml`` has it."""
REPOSITORY = RemoteRepositoryOrigin(WORKSPACE.create_origins()[0], "__repository__")
NOON = datetime.fromisoformat("2025-06-11T12:00")
"""The present of these tests, a Wednesday."""
TODAY = NOON.date()
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


class Clock:
    """What every module of the product takes for the present."""

    def __init__(self) -> None:
        """Stand at noon."""
        self.now = NOON

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Take the place of ``utc_now`` wherever it was imported."""
        real = instants.utc_now
        for name, module in list(sys.modules.items()):
            if name.startswith("dbmon_pipeline.") and getattr(module, "utc_now", None) is real:
                patch.setattr(module, "utc_now", lambda: self.now)


@dataclass
class Site:
    """One monitored source."""

    source: Path
    home: Home
    clock: Clock
    patch: pytest.MonkeyPatch
    instance: dg.DagsterInstance
    _built: tuple[Settings, dg.Definitions] | None = None

    @property
    def settings(self) -> Settings:
        """The settings, as the environment is now."""
        return Settings.load()

    @property
    def definitions(self) -> dg.Definitions:
        """What the code location is with these settings."""
        settings = self.settings
        if self._built is None or self._built[0] != settings:
            self._built = settings, build_definitions(settings)
            self._built[1].get_repository_def()
        return self._built[1]

    @property
    def job(self) -> dg.JobDefinition:
        """The refresh."""
        return self.definitions.resolve_job_def("refresh")

    @property
    def generation(self) -> int:
        """The number of the published generation."""
        return Published(self.home).manifest.generation

    def show(self, generation: int) -> None:
        """Have a kept generation be the published one."""
        link = self.home.published / "shown"
        link.symlink_to(Path("generations", f"{generation:06d}"))
        link.replace(self.home.current)

    def refresh(self, **config: object) -> dg.DagsterRun:
        """Refresh as ``dbmon refresh`` does, with some of its options, and return the run."""
        self.refresh_run(**config)
        return self.last_run()

    def refresh_run(self, **config: object) -> RefreshRun:
        """Refresh as ``dbmon refresh`` does, and return what it tells."""
        return run_refresh(self.job, self.instance, **config)

    def run(self, request: dg.RunRequest | None = None) -> dg.ExecuteInProcessResult:
        """Do what a run request asks for, or what a launch without any config does."""
        tags = {"dagster/run_key": request.run_key} if request and request.run_key else {}
        return self.job.execute_in_process(
            instance=self.instance,
            tags=tags,
            run_config=request.run_config if request else None,
            raise_on_error=False,
        )

    def published(self) -> Published:
        """What readers see."""
        return Published(self.home)

    def published_rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a published table, by column."""
        return published_rows(self.settings, table)

    def schedule_tick(self, name: str) -> ScheduleExecutionData:
        """Evaluate a schedule as the daemon does."""
        context = dg.build_schedule_context(
            instance=self.instance,
            scheduled_execution_time=self.clock.now,
            repository_def=self.definitions.get_repository_def(),
        )
        return self.definitions.resolve_schedule_def(name).evaluate_tick(context)

    def sensor_tick(self, name: str, cursor: str | None = None) -> SensorExecutionData:
        """Evaluate a sensor as the daemon does."""
        return sensor_tick(self.definitions, self.instance, name, cursor)

    def make_run(self, status: dg.DagsterRunStatus) -> dg.DagsterRun:
        """A run of the refresh that stands at a status; nothing executes it."""
        return self.instance.create_run_for_job(
            self.job,
            status=status,
            remote_job_origin=REPOSITORY.get_job_origin(self.job.name),
            job_code_origin=JobPythonOrigin(
                self.job.name,
                RepositoryPythonOrigin(
                    sys.executable, ModuleCodePointer("dbmon_pipeline.definitions", "defs")
                ),
            ),
        )

    def make_tick(self, sensor: str, status: TickStatus) -> None:
        """A tick of a sensor that stands at a status, the last one so far."""
        state = InstigatorState(
            REPOSITORY.get_instigator_origin(sensor),
            InstigatorType.SENSOR,
            InstigatorStatus.RUNNING,
            SensorInstigatorData(sensor_type=SensorType.STANDARD),
        )
        if not self.instance.get_instigator_state(state.instigator_origin_id, state.selector_id):
            self.instance.add_instigator_state(state)
        self.instance.create_tick(
            TickData(
                state.instigator_origin_id,
                sensor,
                InstigatorType.SENSOR,
                status,
                time.time(),
                error=SerializableErrorInfo("It went wrong.", [], "Exception")
                if status is TickStatus.FAILURE
                else None,
                selector_id=state.selector_id,
            )
        )

    def last_run(self) -> dg.DagsterRun:
        """The run that was created last."""
        return self.instance.get_runs(limit=1)[0]

    def materialization(self, asset: str) -> dg.AssetMaterialization:
        """The latest materialization of an asset."""
        event = self.instance.get_latest_materialization_event(dg.AssetKey(asset))
        assert event
        assert event.asset_materialization
        return event.asset_materialization

    def metadata(self, asset: str) -> dict[str, Any]:
        """The metadata of the latest materialization of an asset."""
        return {name: value.value for name, value in self.materialization(asset).metadata.items()}

    def materialized(self, run_id: str) -> list[str]:
        """The assets that a run materialized, in the order of the events."""
        events = self.instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        keys = [event.get_dagster_event().asset_key for event in events]
        return [key.to_user_string() for key in keys if key]

    def checks(self, run_id: str) -> dict[tuple[str, str], Any]:
        """The evaluations of a run's checks, by asset and name."""
        found = {}
        for record in self.instance.all_logs(
            run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
        ):
            event = record.dagster_event
            assert event
            data = event.asset_check_evaluation_data
            found[(data.asset_key.to_user_string(), data.check_name)] = data
        return found

    def failed_checks(self, run_id: str) -> dict[str, Any]:
        """The evaluations of a run's checks that did not pass, by ``asset:name``."""
        return {
            f"{asset}:{name}": data
            for (asset, name), data in self.checks(run_id).items()
            if not data.passed
        }

    def in_source(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        """Ask the source, independently of the product."""
        with duckdb.connect(str(self.source), read_only=True) as con:
            return con.execute(statement, values).fetchall()


def sensor_tick(
    definitions: dg.Definitions, instance: dg.DagsterInstance, name: str, cursor: str | None = None
) -> SensorExecutionData:
    """Evaluate a sensor as the daemon does."""
    context = dg.build_sensor_context(instance=instance, cursor=cursor, definitions=definitions)
    return definitions.resolve_sensor_def(name).evaluate_tick(context)


def keep_engines(patch: pytest.MonkeyPatch) -> None:
    """Let Dagster keep one engine for each of its databases.

    It makes one for each connection, some 400 in a refresh, and each compiles its statements anew:
    a third of what a small refresh costs. Connections are not kept.
    """
    engines: dict[str, Engine] = {}

    def kept(url: str, **options: Any) -> Engine:
        if url not in engines:
            engines[url] = create_engine(url, **options)
        return engines[url]

    for module in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
        patch.setattr(module, "create_engine", kept)


@contextmanager
def open_site(folder: Path, template: Path) -> Iterator[Site]:
    """A copy of a folder with a home, and maybe a source, that nobody uses any more."""
    shutil.copytree(template, folder, symlinks=True)
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        source, home, clock = folder / "learning.db", Home(folder / "home"), Clock()
        patch.setenv("DBMON_SOURCE", str(source))
        patch.setenv("DBMON_HOME", str(home.path))
        patch.delenv("DBMON_CONFIG", raising=False)
        patch.setenv("DAGSTER_HOME", "")
        clock.install(patch)
        keep_engines(patch)
        yield Site(source, home, clock, patch, stack.enter_context(open_instance(home)))


def refreshed_template(folder: Path, template: Path, rows: list[dict[str, object]]) -> Path:
    """A folder to copy, of a source with some rows that was read."""
    with open_site(folder, template) as made:
        make_source(made.source, rows)
        made.refresh()
    return folder
