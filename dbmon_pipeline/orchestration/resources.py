"""Resources: the warehouse, open for one run, under the home's lock."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import dagster as dg
import duckdb
from dagster_duckdb import DuckDBResource
from pydantic import PrivateAttr

from dbmon_pipeline.core.common.duck import CATALOGUE
from dbmon_pipeline.core.common.errors import DbmonError, SourceLockedError
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.home.locks import alive, home_lock, is_alive
from dbmon_pipeline.core.source.source import Source
from dbmon_pipeline.core.warehouse.opening import open_warehouse
from dbmon_pipeline.core.warehouse.warehouse import Warehouse

GRACE_SECONDS = 60
"""How long a run may be started without having shown that it lives."""


@contextmanager
def failures() -> Iterator[None]:
    """Tell an error of the core as a failure of the step, without a traceback of ours.

    Raises:
        dg.Failure: With the error's message and remedy; only a locked source is worth a retry.
    """
    try:
        yield
    except DbmonError as error:
        raise dg.Failure(
            description=str(error), allow_retries=isinstance(error, SourceLockedError)
        ) from error


class WarehouseResource(DuckDBResource):
    """The warehouse of a home, for the length of a run.

    Unlike its parent it waits for a bounded time, holds the home's lock as long as it is open, and
    always closes.
    """

    _settings: Settings = PrivateAttr()
    _warehouse: Warehouse = PrivateAttr()
    _open: ExitStack = PrivateAttr(default_factory=ExitStack)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Take the lock, report runs that died as failed, and open the warehouse."""
        self._settings = Settings.load()
        home = self._settings.home
        run_id = context.run.run_id if context.run else "none"
        with ExitStack() as stack, failures():
            stack.enter_context(alive(home.live_runs / run_id))
            wait = self._settings.config.home.lock_wait_seconds
            stack.enter_context(home_lock(home, f"run {run_id[:8]}", wait_seconds=wait))
            if context.instance:
                report_dead_runs(context.instance, home, run_id)
            self._warehouse = stack.enter_context(open_warehouse(home))
            self._open = stack.pop_all()

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002
        """Close the warehouse and give the lock back."""
        self._open.close()

    @contextmanager
    def get_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor on the open warehouse, as users of ``DuckDBResource`` expect it."""
        with self._warehouse.con.cursor() as cursor:
            cursor.execute(f"USE {CATALOGUE}")
            yield cursor

    @property
    def settings(self) -> Settings:
        """The settings of this run."""
        return self._settings

    @property
    def warehouse(self) -> Warehouse:
        """The open warehouse."""
        return self._warehouse

    def source(self) -> Source:
        """The source, not yet touched."""
        settings = self._settings
        return Source(
            settings.source, settings.config.source, self._warehouse.con, settings.home.snapshots
        )


def report_dead_runs(instance: dg.DagsterInstance, home: Home, this_run: str) -> None:
    """Report runs as failed that are started but whose process is gone, killed for instance.

    Whoever holds the home's lock does this; a run that waits for the lock is not dead.
    """
    started = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING])
    for record in instance.get_run_records(started):
        run = record.dagster_run
        sign = home.live_runs / run.run_id
        is_young = time.time() - (record.start_time or 0) < GRACE_SECONDS
        if run.run_id == this_run or (is_young and not sign.exists()) or is_alive(sign):
            continue
        instance.report_run_failed(run, "Its process ended without a word; the next refresh heals.")
