"""Owners write, refreshes run as fast as they can, a reader asks: for a short while.

``make soak`` does the same for as long as it is told.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dbmon_pipeline.core.common.errors import NotPublishedError
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline_tests.soak import reading
from dbmon_pipeline_tests.soak.crash import Site
from dbmon_pipeline_tests.soak.owners import OWNERS, Tally
from dbmon_pipeline_tests.soak.reading import Reader, Seen
from dbmon_pipeline_tests.soak.refreshing import Record
from dbmon_pipeline_tests.soak.soak import Trial, lines, problems_of, soak
from dbmon_pipeline_tests.truth import assert_published, rows_of

_SECONDS = 20.0


def test_owners_are_not_disturbed(tmp_path: Path) -> None:
    """Four owners at the same time, each with a source and a home; two on the older DuckDB.

    How many first tries fail is judged by the long soak: in so few writes one too many is chance.
    And a second try waits longer here, because the machine has other tests to run.
    """
    trials = [
        Trial("hold_open", is_older=False),
        Trial("open_per_write", is_older=lines()[0], commands_every=1, retry_seconds=1.0),
        Trial("big", is_older=lines()[0]),
        Trial("idle", is_older=False, retry_seconds=1.0),
    ]
    outcomes = soak(tmp_path, trials, _SECONDS, most_failed=1.0)
    assert [problem for outcome in outcomes for problem in outcome.problems] == []
    for outcome in outcomes:
        assert outcome.compared > outcome.rows // 10
        assert outcome.record.from_snapshot or outcome.trial.owner in ("open_per_write", "idle")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Something that was published twice."""
    made = Site(tmp_path_factory.mktemp("published"), seed=3)
    made.refresh()
    made.go_on()
    made.refresh()
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

    monkeypatch.setattr(reading, "faults", published_meanwhile)
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
    ("owner", "tally", "words"),
    [
        ("hold_open", Tally(writes=1000, failed=1), "1 writes failed"),
        ("big", Tally(writes=1000, failed=1), "1 writes failed"),
        ("open_per_write", Tally(writes=1000, failed=9, lost=1), "1 again"),
        ("open_per_write", Tally(writes=1000, failed=11), "1.10% of 1000 first tries"),
        ("open_per_write", Tally(writes=1000, failed=10), ""),
        ("idle", Tally(writes=10, failed=1), ""),
        ("idle", Tally(), "not one write"),
    ],
)
def test_what_is_judged(owner: str, tally: Tally, words: str) -> None:
    """Owners that hold it open may lose nothing, the others a first try now and then."""
    assert owner in OWNERS
    record, seen = Record(refreshes=5), Seen(readings=9)
    found = problems_of(Trial(owner, is_older=False), tally, record, seen, 0.01)
    assert [words in problem for problem in found] == ([True] if words else [])
