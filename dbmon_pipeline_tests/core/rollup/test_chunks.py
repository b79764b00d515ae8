"""Chunks: how days are cut, and that no figure depends on where."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.rollup import chunks
from dbmon_pipeline.core.rollup.chunks import Chunk, ChunkSize, cut_into_chunks
from dbmon_pipeline_tests.helpers import (
    Refreshed,
    Row,
    execution,
    make_source,
    published_rows,
    settings_for,
)
from dbmon_pipeline_tests.histories import refresh_here
from dbmon_pipeline_tests.truth import assert_published, rows_of

DAY = date(2026, 2, 10)


def at(day: int, hour: int = 0) -> datetime:
    """An hour of a day from the tenth of February on."""
    return datetime(2026, 2, 10) + timedelta(days=day, hours=hour)


def cut(days: dict[int, dict[int, int]], rows: int, *, over_gaps: bool = False) -> list[Chunk]:
    """Cut days with so many rows by hour into chunks."""
    size = ChunkSize()
    size.rows = rows
    counted = {
        at(day).date(): {at(day, hour): count for hour, count in hours.items()}
        for day, hours in days.items()
    }
    return list(cut_into_chunks(counted, size, over_gaps=over_gaps))


def test_days_that_fit_are_read_together() -> None:
    """Adjoining ones in one stretch; a day between that is not asked for is not read."""
    (chunk,) = cut({0: {3: 10}, 1: {4: 10}, 3: {}}, rows=20)
    assert chunk.stretches == ((at(0), at(2)), (at(3), at(4)))
    assert chunk.days == (at(0).date(), at(1).date(), at(3).date())
    assert (chunk.rows, chunk.is_part_of_day, chunk.is_last_of_day) == (20, False, True)
    assert [chunk.covers(instant) for instant in (at(1, 23), at(2), at(3), at(4))] == [
        *(True, False, True, False),
    ]


def test_gaps_of_a_new_home_are_read_over() -> None:
    """Nothing lies in them, and a condition less is held to every row."""
    (chunk,) = cut({0: {0: 1}, 50: {0: 1}}, rows=20, over_gaps=True)
    assert chunk.stretches == ((at(0), at(51)),)


def test_a_chunk_that_is_full_ends_with_a_day() -> None:
    """The next day begins another one."""
    assert [chunk.days for chunk in cut({0: {0: 15}, 1: {0: 5}, 2: {0: 1}}, rows=20)] == [
        (at(0).date(), at(1).date()),
        (at(2).date(),),
    ]


def test_many_gaps_end_a_chunk() -> None:
    """Each stretch is one more condition for every row."""
    made = cut({2 * number: {0: 1} for number in range(100)}, rows=1_000)
    assert [len(chunk.stretches) for chunk in made] == [40, 40, 20]


def test_a_large_day_is_cut_at_full_hours() -> None:
    """Together its parts are all of the day, and only the last one ends it."""
    made = cut({0: {5: 1}, 1: {2: 15, 4: 10, 5: 10, 23: 30}, 2: {0: 1}}, rows=20)
    assert [chunk.stretches for chunk in made] == [
        ((at(0), at(1)),),
        ((at(1), at(1, 4)),),
        ((at(1, 4), at(1, 23)),),
        ((at(1, 23), at(2)),),
        ((at(2), at(3)),),
    ]
    assert [(chunk.is_part_of_day, chunk.is_last_of_day) for chunk in made[1:4]] == [
        (True, False),
        (True, False),
        (True, True),
    ]


def test_the_size_follows_the_texts() -> None:
    """Rows with long texts are read in smaller numbers, never in tiny ones."""
    size = ChunkSize()
    size.learn(1_000, 0)
    short = size.rows
    size.learn(1_000, 1_000_000)
    long = size.rows
    size.learn(1_000, 1_000_000_000)
    assert (short, size.rows) == (chunks.MOST_ROWS, 10_000)
    assert size.rows < long < short
    size.learn(0, 0)
    assert size.rows == 10_000


AS_OF = datetime(2026, 1, 3, 18)


def _history() -> list[Row]:
    """Two months over the turn of a year, one large day, ids that are there twice or more.

    A pattern reaches five uses only over several days; each text has a secret in it.
    """
    moments = [AS_OF - timedelta(hours=5 * n + 1) for n in range(300)]
    moments += [datetime(2026, 1, 2) + timedelta(minutes=7 * n) for n in range(200)]
    return [
        execution(
            moment,
            task_id=f"task {number % 450}",
            cost_estimate=0.25,
            actual_cost=number % 8 / 8,
            duration_seconds=float(number % 90),
            complexity_score=number % 100,
            peak_memory_mb=float(number % 7),
            error_type="Timeout" if number % 9 == 0 else None,
            error_message=f"password=abcdef{number}" if number % 9 == 0 else None,
            solution_summary=f"use key_{number % 60} with password=abcdef{number}",
        )
        for number, moment in enumerate(moments)
    ]


def _redacted(rows: Sequence[Row]) -> list[Row]:
    clean: list[Row] = []
    for row in rows:
        text = str(row["solution_summary"]).split("password")[0] + "[redacted secret]"
        message = "[redacted secret]" if row["error_message"] else None
        clean.append({**row, "solution_summary": text, "error_message": message})
    return clean


def _refresh(settings: Settings, rows: int, monkeypatch: pytest.MonkeyPatch) -> Refreshed:
    def never_learn(*_: object) -> None:
        return

    monkeypatch.setattr(chunks, "_FIRST_ROWS", rows)
    monkeypatch.setattr(ChunkSize, "learn", never_learn)
    return refresh_here(settings, AS_OF)


@pytest.mark.parametrize("rows", [40, pytest.param(15, marks=pytest.mark.whole)])
def test_no_figure_depends_on_where_chunks_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """A day in parts, chunks over months and a year: all as if it had been read at once."""
    small, large = settings_for(tmp_path, rules={}), settings_for(tmp_path / "large", rules={})
    make_source(small.source, _history())
    large.source.parent.mkdir()
    large.source.hardlink_to(small.source)
    cut_small = _refresh(small, rows, monkeypatch).rolled_up
    at_once = _refresh(large, 1_000_000, monkeypatch).rolled_up
    assert_published(small.home, _redacted(rows_of(small.source)), AS_OF)
    assert published_rows(small, "hour_ledger") == published_rows(large, "hour_ledger")
    assert len(published_rows(small, "solution_patterns")) == 60
    assert cut_small.reading.readings > 4 > at_once.reading.readings
    assert cut_small.quality == at_once.quality
    assert cut_small.duplicate_task_id == at_once.duplicate_task_id
    assert cut_small.quality["duplicate_task_ids"] > 0
    for table, files in cut_small.tables.items():
        assert [(file.name, file.rows) for file in files] == [
            (file.name, file.rows) for file in at_once.tables[table]
        ], table


def test_duplicates_of_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row counts whose id an earlier row of the day has; across recent days each id does."""
    settings = settings_for(tmp_path, rules={})
    ids = ["a", "b", "a", "c", "a", None, None, "b"]
    today = [execution(datetime(2026, 1, 3, n), task_id=name) for n, name in enumerate(ids)]
    others = [
        execution(datetime(2026, 1, 2, 3), task_id="c"),
        execution(datetime(2025, 12, 20), task_id="c"),
    ]
    make_source(settings.source, [*today, *others])
    done = _refresh(settings, 2, monkeypatch).rolled_up
    counted = {
        hour["hour"].hour: hour["duplicate_task_ids"]  # type: ignore[attr-defined]
        for hour in published_rows(settings, "hour_ledger")
        if hour["hour"] >= datetime(2026, 1, 3)  # type: ignore[operator]
    }
    assert counted == {0: 0, 1: 0, 2: 1, 3: 0, 4: 1, 5: 0, 6: 0, 7: 1}
    assert done.quality["duplicate_task_ids"] == 3 + 1
    assert done.quality["missing_task_ids"] == 2
    assert done.duplicate_task_id in ("a", "b", "c")
