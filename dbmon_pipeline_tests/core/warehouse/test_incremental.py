"""Incremental equals a full rebuild equals brute force, whatever happened to the source."""

from __future__ import annotations

import uuid
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.config.monitoring import Keep, SourceLimits
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.warehouse.plan import Scope
from dbmon_pipeline_tests.helpers import (
    add_rows,
    change_source,
    make_source,
    published_rows,
    refresh_core,
    settings_for,
)
from dbmon_pipeline_tests.oracle import Row, assert_same_rows, expected_tables

START = datetime(2026, 2, 25)
"""The days around it lie in two months, so that months close on the way."""

CONFIG: dict[str, Any] = {
    "history_start": date(2026, 2, 20),
    "keep": Keep(executions_days=3),
    "source": SourceLimits(compare_hours=24),
}
"""Short windows: a few days of history reach beyond all of them."""

moments = st.timedeltas(min_value=timedelta(days=-5), max_value=timedelta(0)).map(
    lambda age: timedelta(seconds=int(age.total_seconds()) // 600 * 600)
)
names = st.sampled_from([None, "a", "b", "o'brien \N{SNOWMAN}"])
costs = st.none() | st.sampled_from([0.0, 0.125, 1.5, -1.0, float("nan"), float("inf")])


@st.composite
def executions(draw: st.DrawFn) -> Row:
    """An execution whose timestamp is an age, relative to the instant it is written at."""
    success = draw(st.none() | st.booleans())
    return {
        "task_id": str(uuid.UUID(int=draw(st.integers(0, 2**64)))),
        "timestamp": draw(moments),
        "repo": draw(names),
        "task_type": draw(names),
        "model_tier": draw(names),
        "pool_type": draw(names),
        "success": success,
        "duration_seconds": draw(st.sampled_from([0.0, 0.001, 1.5, 2.0, 800.25, -1.0])),
        "quality_score": draw(st.none() | st.integers(50, 100)),
        "cost_estimate": draw(costs),
        "actual_cost": draw(costs),
        "error_type": draw(st.none() | st.sampled_from(["Timeout", "Refused"])),
        "error_message": draw(st.none() | st.sampled_from(["late", "x" * 600])),
        "user_accepted": draw(st.none() | st.booleans()),
        "user_rating": draw(st.none() | st.integers(1, 5)),
        "peak_memory_mb": draw(st.none() | st.sampled_from([1.0, 512.5])),
        "estimated_tokens": draw(st.none() | st.integers(0, 10_000)),
        "complexity_score": draw(st.none() | st.sampled_from([-7, -1, 0, 55, 100, 101, 150])),
        "solution_summary": draw(st.none() | st.just("retry")),
    }


insert = st.tuples(st.just("insert"), st.lists(executions(), min_size=1, max_size=6))
update = st.tuples(st.just("update"), st.integers(0, 50), executions())
delete = st.tuples(st.just("delete"), st.integers(0, 50))
wait = st.tuples(st.just("wait"), st.integers(1, 40))
refresh = st.tuples(st.just("refresh"), st.sampled_from(list(Scope)))
prune = st.tuples(st.just("prune"), st.integers(12, 120))
histories = st.lists(insert | update | delete | wait | refresh, min_size=3, max_size=14)
pruned_histories = st.lists(insert | delete | wait | prune | refresh, min_size=4, max_size=14)


class World:
    """A source with its owner, and what a monitor may know of it."""

    def __init__(self, folder: Path) -> None:
        """Begin with an empty source."""
        self.settings = settings_for(folder, **CONFIG)
        self.now = START
        self.rows: dict[str, Row] = {}
        self.known: dict[str, Row] = {}
        self.sealed = datetime.min
        make_source(self.settings.source)

    def insert(self, rows: list[Row]) -> None:
        """Write rows, each as old as it says."""
        new = {row["task_id"]: row | {"timestamp": self.now + row["timestamp"]} for row in rows}
        new = {
            task_id: row
            for task_id, row in new.items()
            if task_id not in self.rows and row["timestamp"] >= self.sealed
        }
        self.rows |= new
        add_rows(self.settings.source, new.values())

    def update(self, number: int, row: Row) -> None:
        """Change everything of a row but its id, its time too."""
        candidates = self._not_the_oldest()
        if candidates:
            task_id = candidates[number % len(candidates)]["task_id"]
            self._remove(task_id)
            self.insert([row | {"task_id": task_id}])

    def delete(self, number: int) -> None:
        """Delete a row."""
        candidates = self._not_the_oldest()
        if candidates:
            self._remove(candidates[number % len(candidates)]["task_id"])

    def prune(self, hours: int) -> None:
        """Have the owner remove all rows of an age, after which that past is left alone."""
        self.refresh(Scope.FULL)
        limit = self.now - timedelta(hours=hours)
        change_source(
            self.settings.source, "DELETE FROM executions WHERE timestamp < $limit", limit=limit
        )
        self.rows = {key: row for key, row in self.rows.items() if row["timestamp"] >= limit}
        midnight = (limit + timedelta(days=1)).replace(hour=0, minute=0, second=0)
        self.sealed = max(self.sealed, midnight)

    def wait(self, hours: int) -> None:
        """Let time pass."""
        self.now += timedelta(hours=hours)

    def refresh(self, scope: Scope) -> None:
        """Refresh; what is pruned stays known, all else is what the source says."""
        refresh_core(self.settings, self.now, scope)
        oldest = min((row["timestamp"] for row in self.rows.values()), default=datetime.max)
        pruned = {key: row for key, row in self.known.items() if row["timestamp"] < oldest}
        self.known = pruned | {k: r for k, r in self.rows.items() if r["timestamp"] < self.now}

    def check(self) -> None:
        """Compare every published table with brute force over what is known."""
        monitored = [
            row for row in self.known.values() if row["timestamp"].date() >= CONFIG["history_start"]
        ]
        for table, expected in expected_tables(monitored, self.now).items():
            if table == "solution_patterns":
                continue  # over raw rows, of which this world keeps three days
            assert_same_rows(published_rows(self.settings, table), expected, where=table)

    def _not_the_oldest(self) -> list[Row]:
        """The rows that the owner changes: taking the oldest away is pruning."""
        newer = sorted(self.rows.values(), key=lambda row: row["timestamp"])[1:]
        return [row for row in newer if row["timestamp"] >= self.sealed]

    def _remove(self, task_id: str) -> None:
        del self.rows[task_id]
        change_source(
            self.settings.source, "DELETE FROM executions WHERE task_id = $id", id=task_id
        )


def play(history: list[tuple[Any, ...]], folder: Path) -> World:
    """Let a history happen, with a first and a last refresh over everything."""
    world = World(folder)
    for name, *arguments in history:
        getattr(world, name)(*arguments)
    world.refresh(Scope.FULL)
    world.check()
    return world


def table_rows(home: Settings, table: str) -> list[tuple[object, ...]]:
    """The rows of a warehouse table, in order."""
    with connect(home.home.warehouse) as con:
        return con.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall()


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=histories)
def test_any_history_ends_in_what_brute_force_says(history: list[tuple[Any, ...]]) -> None:
    """Late rows, changed rows, moved rows, deleted rows; any scope; over the turn of a month."""
    with TemporaryDirectory() as folder:
        play(history, Path(folder))


@pytest.mark.one_duckdb
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=pruned_histories)
def test_what_owners_prune_stays(history: list[tuple[Any, ...]]) -> None:
    """Rows that the owner removed by age count on, in all summaries."""
    with TemporaryDirectory() as folder:
        play(history, Path(folder))


@pytest.mark.one_duckdb
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=histories)
def test_incremental_equals_a_full_rebuild(history: list[tuple[Any, ...]]) -> None:
    """A new home, filled at once, holds the very same rows as the one that was kept up to date."""
    with TemporaryDirectory() as folder:
        world = play(history, Path(folder))
        fresh = settings_for(Path(folder) / "fresh", **CONFIG)
        fresh.source.parent.mkdir()
        fresh.source.hardlink_to(world.settings.source)
        refresh_core(fresh, world.now)
        for table in expected_tables([], world.now):
            assert_same_rows(
                published_rows(world.settings, table), published_rows(fresh, table), where=table
            )


@pytest.mark.parametrize("scope", list(Scope))
def test_refreshing_again_changes_nothing(tmp_path: Path, scope: Scope) -> None:
    """The same instant again extracts no row, rolls up no day, and keeps every file by day.

    But for the history of what was read: the source was looked at once more.
    """
    world = World(tmp_path)
    world.insert([{**_plain(n), "timestamp": timedelta(hours=-n)} for n in range(1, 90)])
    world.refresh(Scope.RECENT)
    before = {table: table_rows(world.settings, table) for table in expected_tables([], START)}
    again = refresh_core(world.settings, world.now, scope)
    assert [extraction.rows for extraction in again.extractions] == [0]
    # The tables of the last so much time, and that history.
    assert again.publication.files_written == 3
    assert {t: table_rows(world.settings, t) for t in before} == before
    [read] = published_rows(world.settings, "refresh_history")
    assert (read["as_of"], read["rows_extracted"]) == (world.now, 89)


def _plain(number: int) -> Row:
    return {
        "task_id": str(uuid.UUID(int=number)),
        "repo": f"repo{number % 3}",
        "task_type": "fix",
        "model_tier": "small",
        "pool_type": "main",
        "success": number % 4 > 0,
        "error_type": None if number % 4 else "Timeout",
        "duration_seconds": float(number),
        "complexity_score": number,
    }
