"""A source that shrank or was replaced: compared whole, and asked about before much is deleted."""

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
    settings_for,
    state_of,
)
from dbmon_pipeline_tests.histories import refresh_here
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


def begin(tmp_path: Path, rows: list[Row]) -> Settings:
    """Refresh from a source with some rows."""
    settings = settings_for(tmp_path, rules={})
    make_source(settings.source, rows)
    refresh_here(settings, AS_OF)
    return settings


def replaced(settings: Settings, rows: list[Row]) -> None:
    """Put another database in the place of the source, as a restore does."""
    other = make_source(settings.source.with_name("other.db"), rows)
    other.replace(settings.source)


def test_a_restored_backup_is_asked_about_and_nothing_is_lost_until_then(tmp_path: Path) -> None:
    """It lacks the last five of ten days."""
    rows = history(days=10, per_day=100)
    settings = begin(tmp_path, rows)
    backup = [row for row in rows if row["timestamp"] < AS_OF - timedelta(days=5)]  # type: ignore[operator]
    new = [exact(AS_OF + timedelta(minutes=n)) for n in range(10)]
    replaced(settings, [*backup, *new])
    later, before = AS_OF + HOUR, state_of(settings.home)
    for _ in range(2):
        with pytest.raises(SourceShrankError) as caught:
            refresh_here(settings, later)
        assert str(caught.value) == (
            f"{settings.source} (another file than before) no longer holds 500 of the 500"
            f" executions that were read from it since 2026-03-05T12:00:00Z: restore it, or run"
            " 'dbmon refresh --accept-shrink' to have them deleted here, too; or name another home"
            " for another database"
        )
        assert state_of(settings.home) == before
    done = refresh_here(settings, later, accept_shrink=True).rolled_up
    assert done.changes.rows_gone == 500
    assert_published(settings.home, [*backup, *new], later)
    assert refresh_here(settings, later).rolled_up.changes.rows_gone == 0


def test_another_database_does_not_mix_with_what_is_there(tmp_path: Path) -> None:
    """It begins earlier, and has none of the executions that are known."""
    rows = history(days=3, per_day=100)
    settings = begin(tmp_path, rows)
    replaced(settings, [exact(AS_OF - timedelta(days=9, minutes=n)) for n in range(300)])
    with pytest.raises(SourceShrankError, match=r"another file than before.*300 of the 300"):
        refresh_here(settings, AS_OF)
    assert_published(settings.home, rows, AS_OF)


def test_a_fresh_file_goes_on_where_the_old_one_ended(tmp_path: Path) -> None:
    """What it does not reach back to was pruned by its owner, and stays."""
    rows = history(days=3, per_day=100)
    settings = begin(tmp_path, rows)
    new = [exact(AS_OF + timedelta(minutes=n)) for n in range(150)]
    replaced(settings, new)
    later = AS_OF + 3 * HOUR
    assert refresh_here(settings, later).rolled_up.changes.is_replaced
    assert_published(settings.home, [*rows, *new], later)
    assert not refresh_here(settings, later + HOUR).rolled_up.changes.is_replaced


def test_a_copy_in_its_place_changes_nothing(tmp_path: Path) -> None:
    """As when it was vacuumed: another file with the same rows."""
    settings = begin(tmp_path, history(days=3, per_day=100))
    shutil.copy(settings.source, tmp_path / "copy.db")
    (tmp_path / "copy.db").replace(settings.source)
    changes = refresh_here(settings, AS_OF).rolled_up.changes
    assert (changes.is_replaced, changes.rows_read, changes.rows_gone) == (True, 0, 0)


@pytest.mark.parametrize(("gone", "is_asked"), [(99, False), (119, False), (121, True)])
def test_how_much_is_much(tmp_path: Path, gone: int, *, is_asked: bool) -> None:
    """More than a fifth of what is known since the first hour that lost some, and 100 rows."""
    rows = history(days=6, per_day=100)
    settings = begin(tmp_path, rows)
    kept = [rows[-1], *sorted(rows[:-1], key=lambda row: str(row["timestamp"]))[gone:]]
    limit = kept[1]["timestamp"]
    change_source(
        settings.source,
        "DELETE FROM executions WHERE timestamp < $limit AND timestamp > $oldest",
        limit=limit,
        oldest=rows[-1]["timestamp"],
    )
    if is_asked:
        with pytest.raises(SourceShrankError, match=rf"\(the same file\).*{gone} of the 600"):
            refresh_here(settings, AS_OF)
        assert_published(settings.home, rows, AS_OF)
    else:
        assert refresh_here(settings, AS_OF).rolled_up.changes.rows_gone == gone
        assert_published(settings.home, kept, AS_OF)


def test_rows_that_only_moved_are_not_gone(tmp_path: Path) -> None:
    """A correction of time zones moves every row by an hour: as many go as come."""
    rows = history(days=6, per_day=100)
    settings = begin(tmp_path, rows)
    change_source(settings.source, "UPDATE executions SET timestamp = timestamp - INTERVAL 1 HOUR")
    changes = refresh_here(settings, AS_OF, full=True).rolled_up.changes
    assert changes.rows_gone == 0
    moved = [{**row, "timestamp": row["timestamp"] - HOUR} for row in rows]  # type: ignore[operator]
    assert_published(settings.home, moved, AS_OF)
