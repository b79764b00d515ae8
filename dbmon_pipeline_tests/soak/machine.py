"""A state machine: owner and pipeline act in any order, and what is published stays right."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, closing
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import ClassVar

import duckdb
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from dbmon_pipeline.core.archive.archive import archive
from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.config.monitoring import Keep, SourceLimits
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.schema.manifest import read_manifest
from dbmon_pipeline.core.warehouse.plan import Scope
from dbmon_pipeline_tests import helpers
from dbmon_pipeline_tests.core.warehouse.test_incremental import executions
from dbmon_pipeline_tests.helpers import make_source, settings_for
from dbmon_pipeline_tests.oracle import Row
from dbmon_pipeline_tests.soak.model import COMPARE_HOURS, DAY, HOUR, KEPT_DAYS, Model
from dbmon_pipeline_tests.soak.victims import VICTIMS, Begun, Victim, Work
from dbmon_pipeline_tests.truth import assert_published

HISTORY_START = date(2026, 2, 20)


def refresh(scope: Scope, settings: Settings, as_of: datetime, begun: Begun) -> None:
    """A refresh, as a victim."""
    begun()
    helpers.refresh_core(settings, as_of, scope)


class Monitored(RuleBasedStateMachine):
    """A learning database, its owner, and its monitor in processes of their own.

    Attributes:
        compared: How many published rows were held against brute force, by all of them.
    """

    compared: ClassVar[int] = 0

    def __init__(self) -> None:
        """Make an empty source in a folder of its own."""
        super().__init__()
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="machine-")))
        self.settings = settings_for(
            folder,
            history_start=HISTORY_START,
            keep=Keep(executions_days=KEPT_DAYS),
            source=SourceLimits(compare_hours=COMPARE_HOURS, lock_wait_seconds=0.2),
        )
        self.model = Model()
        self.owner: duckdb.DuckDBPyConnection | None = None
        self.generation = 0
        make_source(self.settings.source)

    def teardown(self) -> None:
        """End with a refresh over everything."""
        try:
            self.refresh(Scope.FULL)
        finally:
            self.close()
            self._stack.close()

    @initialize(rows=st.lists(executions(), min_size=1, max_size=8))
    def begin(self, rows: list[Row]) -> None:
        """Have some executions."""
        self.insert(rows)

    # The owner

    @rule(rows=st.lists(executions(), min_size=1, max_size=6))
    def insert(self, rows: list[Row]) -> None:
        """Write executions, each as old as it says: most of them late."""
        self._write(self.model.new(rows))

    @rule(number=st.integers(0, 50), row=executions())
    def update(self, number: int, row: Row) -> None:
        """Change all of an execution but its id, its time too."""
        changed = self.model.candidate(number)
        new = self.model.new([row])
        if changed and new:
            self._remove(changed)
            self._write([{**new[0], "task_id": changed["task_id"]}])

    @rule(number=st.integers(0, 50))
    def delete(self, number: int) -> None:
        """Delete an execution."""
        row = self.model.candidate(number)
        if row:
            self._remove(row)

    @rule(hours=st.integers(12, 120))
    def prune(self, hours: int) -> None:
        """Delete whatever is older than so much, once it was read."""
        self.refresh(Scope.FULL)
        limit = self.model.now - hours * HOUR
        self._execute("DELETE FROM executions WHERE timestamp < $limit", {"limit": limit})
        self.model.prune(limit)

    @precondition(lambda self: self.owner is None)
    @rule()
    def open(self) -> None:
        """Keep the file open for writing."""
        self.owner = connect(self.settings.source)

    @precondition(lambda self: self.owner is not None)
    @rule()
    def close(self) -> None:
        """Close the file."""
        if self.owner is not None:
            self.owner.close()
        self.owner = None

    @rule()
    def back_up(self) -> None:
        """Keep a backup."""
        self.model.back_up()

    @precondition(lambda self: self.owner is None and self.model.backup())
    @rule()
    def restore(self) -> None:
        """Put the backup in the place of the file."""
        self._replace(self.model.backup() or [])

    @precondition(lambda self: self.owner is None)
    @rule()
    def vacuum(self) -> None:
        """Put a copy in the place of the file."""
        self._replace([*self.model.rows.values()])

    @precondition(lambda self: self.owner is None)
    @rule(rows=st.lists(executions(), min_size=1, max_size=3))
    def rotate(self, rows: list[Row]) -> None:
        """Go on with a fresh file, once the old one was read."""
        self.refresh(Scope.FULL)
        self.model.prune(self.model.now)
        self._replace(self.model.new({**row, "timestamp": timedelta(0)} for row in rows))

    # The pipeline

    @rule(hours=st.integers(1, 40))
    def wait(self, hours: int) -> None:
        """Let time pass."""
        self.model.now += hours * HOUR

    @rule(scope=st.sampled_from(list(Scope)))
    def refresh(self, scope: Scope) -> None:
        """Refresh."""
        if self.model.is_uncertain:
            scope = Scope.FULL
        self._work(partial(refresh, scope), scope)

    @rule()
    def retain(self) -> None:
        """Refresh, and let go what is kept no longer."""
        self._work(VICTIMS["retention"], Scope.FULL)

    @rule(seconds=st.floats(0, 0.6))
    def kill(self, seconds: float) -> None:
        """Kill a refresh after a time; it has published, or it has not."""
        known = self.model.refreshed(Scope.FULL)
        work = Work(partial(refresh, Scope.FULL), self.settings, self.model.now)
        was_killed = work.kill_after(seconds) is None
        if not was_killed or self._published() > self.generation:
            self.model.settle(known)
        self.model.is_uncertain = was_killed
        self.check()

    @rule(days=st.integers(0, 6))
    def archive(self, days: int) -> None:
        """Archive what is older than so many days; nothing of it is missing in the files."""
        before = (self.model.now - days * DAY).date()
        with tempfile.TemporaryDirectory(dir=self.settings.source.parent) as out:
            self._in_another_process(partial(_archive, before, Path(out)))
            written = [str(path) for path in Path(out).glob("*.parquet")]
            ids = (
                duckdb.execute("SELECT task_id FROM read_parquet($f)", {"f": written}).fetchall()
                if written
                else []
            )
        assert sorted(task_id for (task_id,) in ids) == sorted(
            row["task_id"] for row in self.model.rows.values() if row["timestamp"].date() < before
        )

    def check(self) -> None:
        """Every published table equals brute force over what must be known."""
        self.generation = self._published()
        if not self.generation:
            return
        monitored = [r for r in self.model.known.values() if r["timestamp"].date() >= HISTORY_START]
        # Of raw rows, which that table is made of, few days are kept.
        Monitored.compared += assert_published(
            self.settings.home, monitored, without={"solution_patterns"}
        )

    def _work(self, victim: Victim, scope: Scope) -> None:
        known = self.model.refreshed(scope)
        self._in_another_process(victim)
        self.model.settle(known)
        self.check()

    def _in_another_process(self, victim: Victim) -> None:
        """Do what must not have the owner's file open in the owner's process."""
        _, error = Work(victim, self.settings, self.model.now).end()
        assert error == ""

    def _published(self) -> int:
        """The number of the generation that is published, 0 if none is."""
        current = self.settings.home.current
        return read_manifest(current.resolve()).generation if current.exists() else 0

    def _execute(self, statement: str, values: Mapping[str, object]) -> None:
        if self.owner is not None:
            self.owner.execute(statement, values)
            return
        with closing(connect(self.settings.source)) as con:
            con.execute(statement, values)

    def _write(self, rows: Iterable[Row]) -> None:
        rows = [*rows]
        for row in rows:
            self._execute(
                f"INSERT INTO executions ({', '.join(row)})"
                f" VALUES ({', '.join('$' + name for name in row)})",
                row,
            )
        self.model.add(rows)

    def _remove(self, row: Row) -> None:
        self._execute("DELETE FROM executions WHERE task_id = $id", {"id": row["task_id"]})
        del self.model.rows[row["task_id"]]

    def _replace(self, rows: list[Row]) -> None:
        other = make_source(self.settings.source.with_name("other.db"), rows)
        other.replace(self.settings.source)
        self.model.replace(rows)


def _archive(before: date, out: Path, settings: Settings, as_of: datetime, begun: Begun) -> None:  # noqa: ARG001
    begun()
    archive(settings, before, out)
