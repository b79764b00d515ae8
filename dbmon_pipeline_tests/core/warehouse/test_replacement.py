"""A source that is replaced: told, compared whole, and asked about before much is deleted."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dbmon_pipeline.core.common.errors import SourceShrankError
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline_tests.helpers import (
    Row,
    change_source,
    execution,
    make_source,
    refresh_core,
    settings_for,
)
from dbmon_pipeline_tests.truth import assert_published

AS_OF = datetime(2026, 3, 10, 12)
HOUR = timedelta(hours=1)


def exact(timestamp: datetime, **values: object) -> Row:
    """An execution whose costs a FLOAT holds as they are."""
    return execution(timestamp, **{"actual_cost": 0.125, "cost_estimate": 0.25, **values})


def history(days: int, per_day: int, **values: object) -> list[Row]:
    """Executions, evenly over so many days that end with ``AS_OF``."""
    step = timedelta(days=1) / per_day
    return [
        exact(AS_OF - (n + 1) * step, actual_cost=n % 7 / 8, **values)
        for n in range(days * per_day)
    ]


def replaced(settings: Settings, rows: list[Row]) -> None:
    """Put another database in the place of the source, as a restore does."""
    other = make_source(settings.source.with_name("other.db"), rows)
    other.replace(settings.source)


def test_a_restored_backup_is_asked_about_and_nothing_is_lost_until_then(tmp_path: Path) -> None:
    """It lacks the last five of ten days."""
    settings, rows = settings_for(tmp_path), history(days=10, per_day=100)
    make_source(settings.source, rows)
    refresh_core(settings, AS_OF)
    backup = [row for row in rows if row["timestamp"] < AS_OF - timedelta(days=5)]  # type: ignore[operator]
    new = [exact(AS_OF + timedelta(minutes=n)) for n in range(10)]
    replaced(settings, [*backup, *new])
    later = AS_OF + HOUR
    for _ in range(2):
        with pytest.raises(SourceShrankError) as caught:
            refresh_core(settings, later)
        assert str(caught.value) == (
            f"{settings.source} (another file than before) no longer holds 500 of the 500"
            f" executions that were read from it since 2026-03-05T12:00:00Z: restore it, or run"
            " 'dbmon refresh --accept-shrink' to have them deleted here, too; or name another home"
            " for another database"
        )
        assert_published(settings.home, rows, AS_OF)
    done = refresh_core(settings, later, accept_shrink=True)
    assert sum(extraction.rows_gone for extraction in done.extractions) == 500
    assert_published(settings.home, [*backup, *new], later)
    assert sum(e.rows_gone for e in refresh_core(settings, later).extractions) == 0


def test_another_database_does_not_mix_with_what_is_there(tmp_path: Path) -> None:
    """It has as many executions at the same time, but none of those that are known."""
    settings, rows = settings_for(tmp_path), history(days=3, per_day=100)
    make_source(settings.source, rows)
    refresh_core(settings, AS_OF)
    replaced(settings, history(days=3, per_day=100, repo="another"))
    with pytest.raises(SourceShrankError, match=r"another file than before.*300 of the 300"):
        refresh_core(settings, AS_OF)
    assert_published(settings.home, rows, AS_OF)


def test_a_fresh_file_goes_on_where_the_old_one_ended(tmp_path: Path) -> None:
    """What it does not reach back to was pruned by its owner, and stays."""
    settings, rows = settings_for(tmp_path), history(days=3, per_day=100)
    make_source(settings.source, rows)
    refresh_core(settings, AS_OF)
    new = [exact(AS_OF + timedelta(minutes=n)) for n in range(150)]
    replaced(settings, new)
    later = AS_OF + 3 * HOUR
    done = refresh_core(settings, later)
    assert [e.is_replaced for e in done.extractions] == [True]
    assert_published(settings.home, [*rows, *new], later)
    assert [e.is_replaced for e in refresh_core(settings, later + HOUR).extractions] == [False]


def test_a_copy_in_its_place_changes_nothing(tmp_path: Path) -> None:
    """As when it was vacuumed: another file with the same rows."""
    settings, rows = settings_for(tmp_path), history(days=3, per_day=100)
    make_source(settings.source, rows)
    refresh_core(settings, AS_OF)
    shutil.copy(settings.source, tmp_path / "copy.db")
    (tmp_path / "copy.db").replace(settings.source)
    done = refresh_core(settings, AS_OF)
    assert [(e.is_replaced, e.rows, e.rows_gone) for e in done.extractions] == [(True, 0, 0)]
    assert_published(settings.home, rows, AS_OF)


def test_what_a_replaced_file_differs_in_is_found_however_old(tmp_path: Path) -> None:
    """A usual refresh looks back 48 hours only."""
    settings, rows = settings_for(tmp_path), history(days=30, per_day=24)
    make_source(settings.source, rows)
    refresh_core(settings, AS_OF)
    old = rows[25 * 24]
    mended = [{**row, "success": False} if row is old else row for row in rows]
    late = exact(AS_OF - timedelta(days=28))
    replaced(settings, [*mended, late])
    refresh_core(settings, AS_OF)
    assert_published(settings.home, [*mended, late], AS_OF)


def test_another_schema_is_compared_whole(tmp_path: Path) -> None:
    """The column came with a migration, and has been filled for old rows, too."""
    settings, rows = settings_for(tmp_path), history(days=20, per_day=24)
    make_source(settings.source, rows)
    for statement in (
        "CREATE TABLE plain AS SELECT * EXCLUDE (user_rating) FROM executions",
        "DROP TABLE executions",
        "ALTER TABLE plain RENAME TO executions",
    ):
        change_source(settings.source, statement)
    refresh_core(settings, AS_OF)
    change_source(settings.source, "ALTER TABLE executions ADD COLUMN user_rating INTEGER")
    change_source(settings.source, "UPDATE executions SET user_rating = 4")
    done = refresh_core(settings, AS_OF)
    assert all(e.is_replaced for e in done.extractions)
    assert_published(settings.home, rows, AS_OF)


def test_rows_without_an_id_are_not_gone(tmp_path: Path) -> None:
    """Nothing tells one from another, but they are there."""
    settings, rows = settings_for(tmp_path), history(days=1, per_day=400, task_id=None)
    make_source(settings.source, rows)
    refresh_core(settings, AS_OF)
    change_source(settings.source, "UPDATE executions SET user_rating = 1")
    done = refresh_core(settings, AS_OF)
    assert [e.rows_gone for e in done.extractions] == [0]


def test_moved_rows_are_not_gone(tmp_path: Path) -> None:
    """An owner may correct the times of all that it has."""
    settings, rows = settings_for(tmp_path), history(days=2, per_day=200)
    make_source(settings.source, rows)
    refresh_core(settings, AS_OF)
    change_source(settings.source, "UPDATE executions SET timestamp = timestamp - INTERVAL 1 HOUR")
    done = refresh_core(settings, AS_OF)
    assert [e.rows_gone for e in done.extractions] == [0]
    moved: list[Row] = [{**row, "timestamp": row["timestamp"] - HOUR} for row in rows]  # type: ignore[operator]
    assert_published(settings.home, moved, AS_OF)


def test_what_is_old_is_counted_by_the_hour(tmp_path: Path) -> None:
    """Raw rows of those days have left the warehouse."""
    settings, rows = settings_for(tmp_path), history(days=120, per_day=24)
    make_source(settings.source, rows)
    refresh_core(settings, AS_OF)
    refresh_core(settings, AS_OF)
    few = [row for n, row in enumerate(rows) if n >= 110 * 24 or n < 20 * 24]
    replaced(settings, few)
    with pytest.raises(SourceShrankError, match=r"no longer holds 2,160 of the 2,.* executions"):
        refresh_core(settings, AS_OF)
    refresh_core(settings, AS_OF, accept_shrink=True)
    assert_published(settings.home, few, AS_OF)


def test_an_owner_may_delete_some(tmp_path: Path) -> None:
    """A tenth, while a fifth is asked about."""
    settings, rows = settings_for(tmp_path), history(days=2, per_day=600)
    make_source(settings.source, rows)
    refresh_core(settings, AS_OF)
    gone = rows[5:1200:10]
    change_source(
        settings.source,
        "DELETE FROM executions WHERE task_id IN (SELECT unnest($ids))",
        ids=[row["task_id"] for row in gone],
    )
    done = refresh_core(settings, AS_OF)
    assert [e.rows_gone for e in done.extractions] == [120]
    assert_published(settings.home, [row for row in rows if row not in gone], AS_OF)
