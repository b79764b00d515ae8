"""Owners write, refreshes run as fast as they can, a reader asks: for a short while.

``make soak`` does the same for as long as it is told.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.common.errors import NotPublishedError
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline_tests.soak import reading
from dbmon_pipeline_tests.soak.owner_sql import BATCH_ROWS, BROKEN_PROMISES
from dbmon_pipeline_tests.soak.owners import Tally
from dbmon_pipeline_tests.soak.reading import Reader, Seen
from dbmon_pipeline_tests.soak.site import Site
from dbmon_pipeline_tests.soak.soak import Trial, problems_of, soak
from dbmon_pipeline_tests.soak.visiting import Visits
from dbmon_pipeline_tests.truth import assert_published, rows_of

VISITS = Visits(refreshes=3, looks=3, answers=3)
_SECONDS = 3.0


def test_owners_are_not_disturbed(tmp_path: Path) -> None:
    """Three owners at the same time, each with a source and a home; one has the older DuckDB."""
    trials = [
        Trial("hold_open", is_older=False),
        Trial("open_per_write", is_older=True),
        Trial("recreate", is_older=False),
    ]
    outcomes = soak(tmp_path, trials, _SECONDS)
    assert [problem for outcome in outcomes for problem in outcome.problems] == []
    versions = {outcome.trial.is_older: outcome.tally.duckdb[:2] for outcome in outcomes}
    assert versions == {True: "1.", False: "2."}
    for outcome in outcomes:
        assert outcome.compared > outcome.rows // 10
        holds_it = outcome.trial.owner != "open_per_write"
        assert outcome.visits.writers_seen or not holds_it


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Something that was published twice."""
    made = Site(tmp_path_factory.mktemp("published"), seed=3)
    made.refresh()
    made.go_on()
    made.refresh()
    made.close()
    return made


@pytest.fixture
def home(published: Site, tmp_path: Path) -> Home:
    """A copy of its home."""
    path = published.settings.home.path
    return Home(shutil.copytree(path, tmp_path / "home", symlinks=True))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("missing", "cannot be read"),
        ("another_table", "hourly_totals has the files"),
        ("another_day", "counts"),
        ("manifest", "its manifest says"),
    ],
)
def test_a_broken_generation_is_seen(home: Home, damage: str, words: str) -> None:
    """The reader of the soak would notice."""
    folder = home.current.resolve()
    first, second = sorted((folder / "hourly_totals").iterdir())[:2]
    if damage == "missing":
        (folder / "daily_distribution" / first.name).unlink()
    elif damage == "another_table":
        first.with_name("2020-01.parquet").hardlink_to(first)
    elif damage == "another_day":
        second.unlink()
        second.hardlink_to(first)
    else:
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        manifest["tables"]["hourly_totals"][0]["rows"] += 1
        (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    reader = Reader(home, keep=3)
    reader.read()
    assert any(words in fault for fault in reader.seen.broken), reader.seen.broken


def test_going_back_is_seen(home: Home) -> None:
    """As is nothing at all after something."""
    reader = Reader(home, keep=3)
    reader.read()
    home.current.unlink()
    reader.read()
    home.current.symlink_to("generations/000001")
    reader.read()
    assert [fault.split(" through ")[0] for fault in reader.seen.broken] == [
        "nothing is published after generation 2",
        "generation 1: it came after generation 2",
        "generation 1: it was read",
    ]


@pytest.mark.parametrize(("newer", "outlived"), [(3, 1), (2, 0)])
def test_a_generation_that_is_removed_too_early_is_seen(
    home: Home, monkeypatch: pytest.MonkeyPatch, newer: int, outlived: int
) -> None:
    """If fewer newer ones than are kept are there."""

    def published_meanwhile(_: Published) -> None:
        home.current.unlink()
        home.current.symlink_to(f"generations/{2 + newer:06d}")
        raise NotPublishedError("a file is gone", remedy="none")

    monkeypatch.setattr(reading, "generation_faults", published_meanwhile)
    reader = Reader(home, keep=3)
    reader.read()
    assert reader.seen.outlived == outlived
    assert len(reader.seen.broken) == 1 - outlived


def test_a_wrong_row_is_seen(published: Site) -> None:
    """Brute force over the source is exact."""
    rows, home = rows_of(published.settings.source), published.settings.home
    assert assert_published(home, rows, published.as_of) > len(rows)
    rows[5]["duration_seconds"] += 0.001
    with pytest.raises(AssertionError, match="duration"):
        assert_published(home, rows)


@pytest.mark.parametrize(
    ("tally", "visits", "words"),
    [
        (Tally(writes=1000, failed=1, reasons=["busy"]), VISITS, "1 of 1000 writes failed: ['bu"),
        (Tally(writes=10), replace(VISITS, faults=["an answer is wrong"]), "an answer is wrong"),
        (Tally(writes=10), replace(VISITS, answers=0), "there was not one answer"),
        (Tally(), VISITS, "not one write"),
        (Tally(writes=10, delayed=3), VISITS, None),
    ],
)
def test_problems(tally: Tally, visits: Visits, words: str | None) -> None:
    """A write that fails is one, as is a wrong answer, and work that was not done."""
    problems = problems_of(tally, visits, Seen(readings=9))
    assert [words in problem for problem in problems if words] == ([True] if words else [])
    assert bool(problems) == bool(words)


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ("UPDATE hourly_summary SET files_sum = files_sum + 1 WHERE task_type = 'feature'", (1, 0)),
        ("UPDATE hourly_summary SET executions = executions - 1 WHERE task_type <> 'test'", (2, 1)),
        ("UPDATE hourly_summary SET actual_cost_sum = 1250 WHERE task_type = 'batch 0'", (0, 1)),
        ("UPDATE hourly_summary SET actual_cost_sum = 5000 WHERE task_type = 'batch 0'", (0, 0)),
    ],
)
def test_broken_promises_are_seen(change: str, broken: tuple[int, int]) -> None:
    """A column that is of another state than the others, a row that is missing, half a batch."""
    with connect() as con:
        con.execute(
            "CREATE TABLE hourly_summary AS SELECT *, n AS files_sum, n AS quality_sum,"
            " n / 4 AS duration_sum, executions AS complexity_count, 0e0 AS actual_cost_sum"
            f" FROM (VALUES ('feature', 10, 300), ('test', 5, 90), ('batch 0', {BATCH_ROWS}, 8000))"
            " AS cells (task_type, executions, n)"
        )
        con.execute("ALTER TABLE hourly_summary RENAME n TO complexity_sum")
        con.execute(change)
        assert con.execute(BROKEN_PROMISES).fetchall()[0][:2] == broken
