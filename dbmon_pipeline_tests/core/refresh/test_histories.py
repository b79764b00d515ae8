"""Incremental equals a full rebuild equals brute force, whatever happened to the source."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dbmon_pipeline_tests.helpers import (
    add_rows,
    change_source,
    execution,
    make_source,
    published_rows,
    settings_for,
)
from dbmon_pipeline_tests.histories import CONFIG, History, refresh_here
from dbmon_pipeline_tests.oracle import Row, assert_same_rows, expected_tables
from dbmon_pipeline_tests.truth import assert_published

HOUR = timedelta(hours=1)


@pytest.mark.parametrize("seed", [0, 14, 27])
def test_any_history_is_what_brute_force_says(seed: int, tmp_path: Path) -> None:
    """Late, changed, moved, deleted, pruned and restored rows, over the turn of a month.

    Every refresh on the way is checked; a seed that fails can be played again.
    """
    History(tmp_path, seed).play(steps=16)


class Unpruned(History):
    """A history whose owner prunes nothing, so that a new home can know as much."""

    def prune(self) -> None:
        """Write rows instead."""
        self.insert()


def test_incremental_equals_a_full_rebuild(tmp_path: Path) -> None:
    """A new home, filled at once, holds the very same rows as the one that was kept up to date."""
    history = Unpruned(tmp_path, seed=5)
    history.play(steps=25)
    fresh = settings_for(tmp_path / "fresh", **CONFIG)
    fresh.source.parent.mkdir()
    fresh.source.hardlink_to(history.settings.source)
    refresh_here(fresh, history.now)
    for table in expected_tables([], history.now):
        assert_same_rows(
            published_rows(history.settings, table), published_rows(fresh, table), where=table
        )


def _row(moment: datetime, chance: random.Random) -> Row:
    return execution(
        moment,
        repo=chance.choice("ab"),
        success=chance.random() < 0.8,
        duration_seconds=chance.randrange(1, 400) / 4,
        cost_estimate=0.25,
        actual_cost=chance.randrange(8) / 8,
        complexity_score=chance.randrange(100),
        solution_summary=chance.choice(["retry", "cache", None]),
    )


@pytest.mark.parametrize(
    ("refreshes", "apart"), [(36, 2 * HOUR), pytest.param(120, HOUR, marks=pytest.mark.whole)]
)
def test_an_owner_that_keeps_six_hours(tmp_path: Path, refreshes: int, apart: timedelta) -> None:
    """Refreshed again and again over some midnights, all that was ever written is counted."""
    settings, chance = settings_for(tmp_path, **CONFIG), random.Random(7)  # noqa: S311
    now = datetime(2026, 2, 27, 5, 20)
    rows: list[Row] = []
    make_source(settings.source)
    for number in range(refreshes):
        moments = [now - chance.random() * apart for _ in range(3)]
        if number % 5 == 4:  # later than the others, but not older than what is kept
            moments.append(now - timedelta(seconds=chance.randrange(4 * 3600)))
        new = [_row(moment, chance) for moment in moments]
        rows += new
        add_rows(settings.source, new)
        if number % 2 == 0:
            limit = now - 6 * HOUR
            change_source(settings.source, "DELETE FROM executions WHERE timestamp < $t", t=limit)
        done = refresh_here(settings, now)
        assert done.rolled_up.changes.unrepairable_hours == 0
        assert done.rolled_up.changes.rows_gone == 0
        if number % 12 == 11:
            assert_published(settings.home, rows, now)
        now += apart
