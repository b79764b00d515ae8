"""A warehouse that was lost, or made by an older version, is as good as one that was not."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.common.errors import NotPublishedError
from dbmon_pipeline.core.config.monitoring import Keep
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.warehouse.opening import open_warehouse
from dbmon_pipeline.core.warehouse.plan import Scope
from dbmon_pipeline_tests.helpers import (
    Row,
    add_rows,
    change_source,
    execution,
    make_source,
    published_rows,
    refresh_core,
    settings_for,
)
from dbmon_pipeline_tests.oracle import assert_same_rows
from dbmon_pipeline_tests.truth import assert_published

AS_OF = datetime(2026, 3, 10, 12)
DAY = timedelta(days=1)
WINDOWS = {"solution_patterns", "recent_executions"}


def history(days: int, *, per_day: int = 24, ends: datetime = AS_OF) -> list[Row]:
    """Executions, evenly over so many days."""
    step = DAY / per_day
    return [
        execution(
            ends - (n + 1) * step,
            actual_cost=n % 7 / 8,
            cost_estimate=0.25,
            success=n % 5 > 0,
            error_type=None if n % 5 else "Timeout",
        )
        for n in range(days * per_day)
    ]


def refreshed(folder: Path, rows: list[Row], **config: object) -> Settings:
    """A home that was refreshed from a source with rows."""
    settings = settings_for(folder, **config)
    make_source(settings.source, rows)
    refresh_core(settings, AS_OF)
    return settings


def lose(settings: Settings) -> None:
    """Remove the warehouse."""
    settings.home.warehouse.unlink()


def publish_anew(settings: Settings, as_of: datetime) -> None:
    """Publish all that the warehouse holds, and carry no file over."""
    refresh_core(settings, as_of)
    shutil.rmtree(settings.home.published)
    refresh_core(settings, as_of)


def prune(settings: Settings, rows: list[Row], before: datetime) -> list[Row]:
    """Have the owner remove old rows, and give those that are left."""
    change_source(settings.source, "DELETE FROM executions WHERE timestamp < $t", t=before)
    return [row for row in rows if row["timestamp"] >= before]  # type: ignore[operator]


@pytest.mark.one_duckdb
@pytest.mark.parametrize("pruned_days", [0, 7.5, 20, 29, 30], ids=str)
@pytest.mark.parametrize("kept_days", [5, 90])
def test_a_lost_warehouse_is_restored_with_what_was_pruned(
    tmp_path: Path, pruned_days: float, kept_days: int
) -> None:
    """Days of which the source holds all are read from it, all others stay as published."""
    rows = history(30)
    settings = refreshed(tmp_path, rows, keep=Keep(executions_days=kept_days))
    prune(settings, rows, AS_OF - (30 - pruned_days) * DAY)
    lose(settings)
    new = [execution(AS_OF + timedelta(minutes=n), actual_cost=1.5) for n in range(5)]
    new = [{**row, "cost_estimate": 0.5} for row in new]
    add_rows(settings.source, new)
    later = AS_OF + timedelta(hours=2)
    for _ in range(2):
        done = refresh_core(settings, later)
        assert_published(settings.home, [*rows, *new], later, without=WINDOWS)
    assert [(e.rows, e.unrepairable_hours, e.hours_left) for e in done.extractions] == [(0, 0, 0)]
    publish_anew(settings, later)
    assert_published(settings.home, [*rows, *new], later, without=WINDOWS)


def test_what_the_owner_deleted_meanwhile_goes(tmp_path: Path) -> None:
    """A restored day is not simply believed."""
    rows = history(10)
    settings = refreshed(tmp_path, rows)
    lose(settings)
    gone = [rows[30], *rows[48:72]]
    change_source(
        settings.source,
        "DELETE FROM executions WHERE task_id IN (SELECT unnest($ids))",
        ids=[row["task_id"] for row in gone],
    )
    late = execution(AS_OF - 5 * DAY, actual_cost=0.5, cost_estimate=0.5)
    add_rows(settings.source, [late])
    refresh_core(settings, AS_OF)
    assert_published(settings.home, [*(row for row in rows if row not in gone), late], AS_OF)


def test_a_late_row_in_the_day_that_was_cut_is_left_once(tmp_path: Path) -> None:
    """That day is better as published; it is told, and not compared for ever."""
    rows = history(30)
    settings = refreshed(tmp_path, rows)
    cut = AS_OF - 10.25 * DAY
    prune(settings, rows, cut)
    lose(settings)
    refresh_core(settings, AS_OF)
    add_rows(settings.source, [execution(cut + timedelta(hours=3))])
    counts = []
    for _ in range(2):
        done = refresh_core(settings, AS_OF, Scope.FULL)
        counts.append([e.unrepairable_hours for e in done.extractions])
        assert_published(settings.home, rows, AS_OF, without=WINDOWS)
    assert counts == [[1], [0]]


def test_the_name_of_a_home_is_no_pattern(tmp_path: Path) -> None:
    """What lies in another home is neither read nor restored from."""
    rows = history(10)
    for name in ("hXme", "h*me"):
        (tmp_path / name).mkdir()
        settings = refreshed(tmp_path / name, rows)
    assert_published(settings.home, rows, AS_OF)
    prune(settings, rows, AS_OF - 4 * DAY)
    lose(settings)
    assert refresh_core(settings, AS_OF).publication.manifest.executions == len(rows)


@pytest.mark.parametrize(
    ("table", "time"), [("check_history", "evaluated_at"), ("refresh_history", "as_of")]
)
def test_what_was_said_and_done_is_restored(tmp_path: Path, table: str, time: str) -> None:
    """It has no other copy either."""
    settings = refreshed(tmp_path, history(3))
    before = published_rows(settings, table)
    lose(settings)
    refresh_core(settings, AS_OF + timedelta(hours=1))
    after = published_rows(settings, table)
    assert before
    assert_same_rows([row for row in after if row[time] == AS_OF], before, where=table)


def test_damaged_files_are_not_taken_for_none(tmp_path: Path) -> None:
    """Going on without them would lose them for good."""
    settings = refreshed(tmp_path, history(3))
    lose(settings)
    manifest = settings.home.current.resolve() / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text("{")
    with pytest.raises(NotPublishedError, match=r"manifest\.json"), open_warehouse(settings.home):
        pass


@pytest.mark.parametrize("kept_days", [5, 90])
def test_a_warehouse_of_an_older_version_is_migrated(tmp_path: Path, kept_days: int) -> None:
    """It lacked columns, a summary table, and had another SELECT of one."""
    rows = history(30)
    settings = refreshed(tmp_path, rows, keep=Keep(executions_days=kept_days))
    with connect(settings.home.warehouse) as con:
        for statement in (
            "ALTER TABLE check_history DROP COLUMN sentence",
            "ALTER TABLE hour_ledger DROP COLUMN not_finite",
            "DROP TABLE refresh_history",
            "DROP TABLE pool_performance" if kept_days == 90 else "SELECT 1",
            "DELETE FROM state WHERE name = 'select:pool_performance'"
            if kept_days == 90
            else "SELECT 1",
            "ALTER TABLE tier_performance ADD COLUMN formerly INTEGER",
            "UPDATE state SET value = 'another' WHERE name = 'select:tier_performance'",
        ):
            con.execute(statement)
    new = [execution(AS_OF + timedelta(minutes=5), actual_cost=0.5, cost_estimate=0.25)]
    add_rows(settings.source, new)
    refresh_core(settings, AS_OF + timedelta(hours=1))
    assert_published(settings.home, [*rows, *new], AS_OF + timedelta(hours=1), without=WINDOWS)
    sentences = {row["sentence"] for row in published_rows(settings, "check_history")}
    assert None in sentences
    assert len(sentences) > 1
    [read] = published_rows(settings, "refresh_history")
    assert (read["as_of"], read["rows_extracted"]) == (AS_OF + timedelta(hours=1), 1)


def test_raw_rows_kept_for_longer_do_not_cut_a_day(tmp_path: Path) -> None:
    """A late row of a day whose raw rows have left, while such days are kept now."""
    rows = history(30)
    settings = refreshed(tmp_path, rows, keep=Keep(executions_days=5))
    refresh_core(settings, AS_OF)
    late = execution(AS_OF - 20 * DAY, actual_cost=0.5, cost_estimate=0.25)
    add_rows(settings.source, [late])
    longer = settings_for(tmp_path, keep=Keep(executions_days=90))
    refresh_core(longer, AS_OF, Scope.FULL)
    assert_published(longer.home, [*rows, late], AS_OF, without=WINDOWS)
