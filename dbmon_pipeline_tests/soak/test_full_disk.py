"""A disk that runs full while a draft is written: a line of error, nothing lost, healed by room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from dbmon_pipeline_tests.helpers import run_dbmon
from dbmon_pipeline_tests.soak.site import Site
from dbmon_pipeline_tests.soak.small_disk import fill, free, limit_files, small_disk
from dbmon_pipeline_tests.soak.work import Work

WORDS = ("free some space on that disk", "check that its disk has space")
"""One of which every error says."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that was refreshed, on a disk of its own where one may be mounted."""
    disk = tmp_path_factory.mktemp("small") / "disk"
    with small_disk(disk):
        made = Site(disk, seed=5)
        made.refresh()
        yield made
        made.close()


def full(site: Site, room: int) -> Callable[[], None]:
    """Make a function that makes the disk full but for some bytes, for the process it runs in."""
    disk = site.settings.source.parent
    return partial(fill, disk, room) if disk.is_mount() else partial(limit_files, room)


def assert_refused(site: Site, room: int) -> None:
    """Refresh while the disk has some room, which is too little."""
    before = site.published()
    work = Work(site.settings, site.as_of, first=full(site, room), full=True)
    _, error = work.end()
    free(site.settings.source.parent)
    assert any(words in error for words in WORDS), error
    assert len(error.splitlines()) == 1
    assert not site.assert_old_or_new(before)


def test_a_disk_that_runs_full_at_work(site: Site) -> None:
    """From the first byte on, or some time later."""
    for room in (0, 20_000):
        site.go_on()
        assert_refused(site, room)
        site.refresh()
        site.assert_refreshed()


def test_the_first_refresh_of_a_home(tmp_path: Path) -> None:
    """A generation of which only a part could be written is not there."""
    disk = tmp_path / "disk"
    with small_disk(disk):
        site = Site(disk, seed=6, history_days=20)
        for room in (0, 4096, 300_000):
            assert_refused(site, room)
        site.refresh()
        site.assert_refreshed()
        site.close()


def test_the_command_refuses_in_a_line(site: Site) -> None:
    """Whoever writes first: the home, Dagster, or a lock."""
    site.go_on()
    before = site.published()
    disk = site.settings.source.parent
    first = ""
    if disk.is_mount():
        fill(disk, 0)
    else:
        first = f"from {limit_files.__module__} import limit_files\nlimit_files(0)"
    done = run_dbmon(*site.refresh_arguments(), first=first)
    free(disk)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert any(words in done.stderr.splitlines()[-1] for words in WORDS)
    assert not site.assert_old_or_new(before)
    site.refresh()
    site.assert_refreshed()
