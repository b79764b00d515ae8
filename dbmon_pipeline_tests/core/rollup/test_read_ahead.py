"""Reading ahead: smaller chunks where large ones do not hold, and names that are numbered."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dbmon_pipeline.core.common.errors import SourceChangingError
from dbmon_pipeline.core.rollup import read_ahead, read_rows
from dbmon_pipeline.core.rollup.chunks import Chunk
from dbmon_pipeline_tests.helpers import (
    add_rows,
    change_source,
    execution,
    make_source,
    published_rows,
    settings_for,
)
from dbmon_pipeline_tests.histories import refresh_here
from dbmon_pipeline_tests.truth import assert_published, rows_of

AS_OF = datetime(2026, 3, 10, 12)


def fail_over(rows: int, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    """Let no reading of a chunk hold that has more rows; return the chunks that were tried."""
    tried: list[tuple[int, float]] = []

    def read_chunk(*given: Any, **limits: Any) -> read_rows.ReadChunk:
        chunk: Chunk = given[3]
        tried.append((chunk.rows, limits["seconds"]))
        if chunk.rows > rows:
            raise SourceChangingError("the source is being written", remedy="repeat")
        return read_rows.read_chunk(*given, **limits)

    monkeypatch.setattr(read_ahead, "read_chunk", read_chunk)
    monkeypatch.setattr(read_ahead, "_SMALL_ROWS", 10)
    return tried


def test_a_chunk_that_does_not_hold_is_read_in_smaller_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days first, then hours of a day; only the small ones are tried for long."""
    settings = settings_for(tmp_path, rules={})
    make_source(settings.source, [execution(AS_OF - timedelta(hours=n)) for n in range(1, 97)])
    tried = fail_over(12, monkeypatch)
    refresh_here(settings, AS_OF)
    assert_published(settings.home, rows_of(settings.source), AS_OF)
    assert tried[0] == (96, read_ahead._FIRST_SECONDS)
    assert {seconds for _, seconds in tried[1:]} == {read_rows.LONGEST_SECONDS}
    assert sum(rows for rows, _ in tried[1:]) == 96


def test_a_source_that_never_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest chunk's error is told."""
    settings = settings_for(tmp_path, rules={})
    make_source(settings.source, [execution(AS_OF - timedelta(hours=n)) for n in range(1, 97)])
    tried = fail_over(0, monkeypatch)
    with pytest.raises(SourceChangingError):
        refresh_here(settings, AS_OF)
    assert len(tried) == 2
    assert not settings.home.current.exists()


@pytest.mark.parametrize("most_names", [1, 5_000])
def test_names_are_published_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_names: int
) -> None:
    """Numbered or not: empty ones, NULL, quotes and any script, in each dimension."""
    names = ["", None, "it's", 'a "b"', "größe", "\N{CJK UNIFIED IDEOGRAPH-6A21}", "z" * 3_000]
    settings = settings_for(tmp_path, rules={})
    rows = [
        execution(
            AS_OF - timedelta(hours=n + 1),
            **{column: names[(n + k) % 7] for k, column in enumerate(read_rows.DIMENSIONS)},
            solution_summary="retry",
        )
        for n in range(40)
    ]
    make_source(settings.source, rows)
    monkeypatch.setattr(read_rows, "_MOST_NAMES", most_names)
    refresh_here(settings, AS_OF)
    assert_published(settings.home, rows_of(settings.source), AS_OF)
    repos = {row["repo"] for row in published_rows(settings, "hourly_summary")}
    assert repos == {name if name is not None else "unknown" for name in names}


def test_names_that_only_pruned_rows_have(tmp_path: Path) -> None:
    """The hour is made of the source's rows and of those that were published."""
    settings = settings_for(tmp_path, rules={})
    hour = AS_OF - timedelta(hours=2)
    gone = execution(hour, repo="gone", model_tier="old tier")
    stays = execution(hour + timedelta(minutes=30), repo="stays")
    make_source(settings.source, [gone, stays])
    refresh_here(settings, AS_OF)
    change_source(settings.source, "DELETE FROM executions WHERE repo = 'gone'")
    late = execution(hour + timedelta(minutes=40), repo="late")
    add_rows(settings.source, [late])
    refresh_here(settings, AS_OF + timedelta(hours=1))
    counted = {
        (row["repo"], row["model_tier"]): row["executions"]
        for row in published_rows(settings, "hourly_summary")
    }
    assert counted == {
        ("gone", "old tier"): 1,
        ("stays", stays["model_tier"]): 1,
        ("late", late["model_tier"]): 1,
    }
