"""Owners write, refreshes run as fast as they can, a reader asks: for a short while.

``make soak`` does the same for as long as it is told.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dbmon_pipeline.core.published import Published
from dbmon_pipeline_tests.soak.crash import Site
from dbmon_pipeline_tests.soak.owners import OWNERS, Tally
from dbmon_pipeline_tests.soak.reading import Reader, Seen, faults
from dbmon_pipeline_tests.soak.refreshing import Record
from dbmon_pipeline_tests.soak.soak import Trial, lines, problems_of, soak
from dbmon_pipeline_tests.soak.truth import assert_published, rows_of

_SECONDS = 20.0


def test_owners_are_not_disturbed(tmp_path: Path) -> None:
    """Four owners at the same time, each with a source and a home; two on the older DuckDB.

    How many first tries fail is judged by the long soak: in so few writes one too many is chance.
    """
    trials = [
        Trial("hold_open", is_older=False),
        Trial("open_per_write", is_older=lines()[0]),
        Trial("big", is_older=lines()[0]),
        Trial("idle", is_older=False),
    ]
    outcomes = soak(tmp_path, trials, _SECONDS, most_failed=1.0)
    assert [problem for outcome in outcomes for problem in outcome.problems] == []
    for outcome in outcomes:
        assert outcome.compared > outcome.rows // 10
        assert outcome.record.from_snapshot or outcome.trial.owner in ("open_per_write", "idle")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Something that was published once."""
    made = Site(tmp_path, seed=3)
    made.refresh()
    return made


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("missing", "cannot be read"),
        ("another_table", "hourly_totals has the files"),
        ("another_day", "counts"),
        ("manifest", "its manifest says"),
    ],
)
def test_a_broken_generation_is_seen(site: Site, damage: str, words: str) -> None:
    """The reader of the soak would notice."""
    folder = site.settings.home.current.resolve()
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
    reader = Reader(site.settings.home, keep=3)
    reader.read()
    assert any(words in fault for fault in reader.seen.broken), reader.seen.broken


def test_going_back_is_seen(site: Site) -> None:
    """As is nothing at all after something."""
    site.go_on()
    site.refresh()
    reader = Reader(site.settings.home, keep=3)
    reader.read()
    current = site.settings.home.current
    current.unlink()
    reader.read()
    current.symlink_to("generations/000001")
    reader.read()
    assert [fault.split(" through ")[0] for fault in reader.seen.broken] == [
        "nothing is published after generation 2",
        "generation 1: it came after generation 2",
        "generation 1: it was read",
    ]


def test_a_generation_that_was_removed_in_time_is_no_fault(site: Site) -> None:
    """Only if as many newer ones as are kept are there."""
    with Published(site.settings.home) as published:
        for _ in range(3):
            site.go_on()
            site.refresh()
        with pytest.raises(Exception, match="hourly_summary"):
            faults(published)


def test_a_wrong_row_is_seen(site: Site) -> None:
    """Brute force over the source is exact."""
    rows = rows_of(site.settings.source)
    assert assert_published(site.settings.home, rows, site.as_of) > len(rows)
    rows[5]["duration_seconds"] += 0.001
    with pytest.raises(AssertionError, match="duration"):
        assert_published(site.settings.home, rows)


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
    record, seen = Record(refreshes=5, commands=1), Seen(readings=9)
    found = problems_of(Trial(owner, is_older=False), tally, record, seen, 0.01)
    assert [words in problem for problem in found] == ([True] if words else [])
