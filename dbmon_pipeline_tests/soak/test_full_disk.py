"""A disk that runs full at each piece of work: told in a line, nothing lost, healed by room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline_tests.helpers import run_dbmon
from dbmon_pipeline_tests.soak.crash import Site
from dbmon_pipeline_tests.soak.reading import faults
from dbmon_pipeline_tests.soak.small_disk import fill, free, limit_files, small_disk
from dbmon_pipeline_tests.soak.victims import VICTIMS, Work
from dbmon_pipeline_tests.truth import rows_of

WORDS = (
    *("free some space on that disk", "check that its disk has space"),
    *("room on the disk", "copying it failed"),
)
"""One of which every error says: of warehouse and generation, of Dagster, and of a copy."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that was refreshed, on a disk of its own where one may be mounted."""
    disk = tmp_path_factory.mktemp("small") / "disk"
    with small_disk(disk):
        made = Site(disk, seed=5)
        made.refresh()
        yield made


def full(site: Site, room: int) -> Callable[[], None]:
    """What makes the disk full but for some bytes, for the process that calls it."""
    disk = site.settings.source.parent
    return partial(fill, disk, room) if disk.is_mount() else partial(limit_files, room)


def current(site: Site) -> tuple[int, dict[str, int]]:
    """What a reader sees: the number of the generation, and figures of all that it holds."""
    with Published(site.settings.home) as published:
        wrong, figures = faults(published)
        assert wrong == []
        return published.manifest.generation, figures


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_disk_that_runs_full_at_work(site: Site, victim: str) -> None:
    """From the first byte on, or some time later."""
    failed = []
    for room in (0, 100_000):
        site.go_on()
        rows = rows_of(site.settings.source)
        with site.held(victim):
            work = Work(VICTIMS[victim], site.settings, site.as_of, first=full(site, room))
            before = current(site)
            _, error = work.end()
            if error:
                failed.append(room)
                assert any(words in error for words in WORDS)
                assert len(error.splitlines()) == 1
                assert current(site) == before
            free(site.settings.source.parent)
            site.refresh()
        site.assert_healed(rows)
    assert 0 in failed


def test_the_first_refresh_of_a_home(tmp_path: Path) -> None:
    """A warehouse of which only a part could be made is made anew."""
    disk = tmp_path / "disk"
    with small_disk(disk):
        site = Site(disk, seed=6)
        rows = rows_of(site.settings.source)
        for room in (0, 4096, 8192):
            work = Work(VICTIMS["refresh"], site.settings, site.as_of, first=full(site, room))
            _, error = work.end()
            assert any(words in error for words in WORDS)
            free(disk)
        site.refresh()
        site.assert_healed(rows)


def test_the_command_tells_it_in_a_line(site: Site) -> None:
    """Whatever writes first: the warehouse, Dagster, or a lock."""
    site.go_on()
    rows, before = rows_of(site.settings.source), current(site)
    disk = site.settings.source.parent
    first = ""
    if disk.is_mount():
        fill(disk, 0)
    else:
        first = f"from {limit_files.__module__} import limit_files\nlimit_files(0)"
    done = run_dbmon(*site.command[1:], first=first)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert any(words in done.stderr.splitlines()[-1] for words in WORDS)
    assert current(site) == before
    free(disk)
    site.refresh()
    site.assert_healed(rows)
