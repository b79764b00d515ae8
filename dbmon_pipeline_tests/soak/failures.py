"""Every n-th file operation of a refresh made to fail, and healed by the next one."""

from __future__ import annotations

import errno
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import duckdb

from dbmon_pipeline.core.common.errors import DbmonError
from dbmon_pipeline.core.common.instants import HOUR
from dbmon_pipeline_tests.helpers import clean_environ
from dbmon_pipeline_tests.soak.companion import Companion
from dbmon_pipeline_tests.soak.failing_io import FailingIo, Operations
from dbmon_pipeline_tests.soak.refresher import request_of
from dbmon_pipeline_tests.soak.site import KEPT_GENERATIONS, Site

_ERRORS = (errno.EIO, errno.ENOSPC)
_HISTORY_DAYS = 20
_FIRST_SHARE = 4
"""One of so many failures is of the first refresh of a home."""
_HEAL_EVERY = 3
"""After how many failures of a sample there is a refresh in which nothing fails."""
_BEFORE_THE_LINK = 60
_AFTER_THE_LINK = 6


@dataclass
class Failures:
    """Figures of the operations that failed.

    Attributes:
        operations: How many there are in a refresh: the first one of a home, and another one.
        failed: How many were made to fail, by what they are.
        told: How many refreshes ended with an error.
        published: How many had published before it.
        problems: What was not healed.
    """

    operations: tuple[int, int] = (0, 0)
    failed: dict[str, int] = field(default_factory=dict)
    told: int = 0
    published: int = 0
    problems: list[str] = field(default_factory=list)


class FailingRefreshes:
    """A site, and a process that refreshes it while a file operation fails."""

    def __init__(self, folder: Path, refresher: Companion, failing: FailingIo, seed: int) -> None:
        """Make the site; it is not refreshed yet."""
        self.site = Site(folder, seed, history_days=_HISTORY_DAYS)
        self._refresher = refresher
        self._failing = failing

    def operations(self) -> Operations:
        """Count the file operations of a refresh in which none fails."""
        self._failing.count_below(self.site.settings.home.path)
        error = self._refresher.ask(request_of(self.site.settings, self.site.as_of))
        operations = self._failing.stop()
        assert not error, error
        return operations

    def fail(self, number: int, figures: Failures) -> bool:
        """Refresh while an operation fails, and see that nothing is broken.

        Returns:
            Whether there were so many operations.

        Raises:
            AssertionError: What is published is broken, or the error is not told as one.
        """
        site = self.site
        before = site.published()
        error_number = _ERRORS[number % len(_ERRORS)]
        self._failing.count_below(site.settings.home.path, fail_at=number, error=error_number)
        error = self._refresher.ask(request_of(site.settings, site.as_of))
        failed = self._failing.stop().failed
        try:
            assert "Traceback" not in error, error
            assert len(error.splitlines()) <= 1, error
            is_new = site.assert_old_or_new(before)
            assert error or is_new, "neither published nor an error"
        except (AssertionError, DbmonError) as problem:
            raise AssertionError(f"{failed}: {error}: {problem}") from problem
        if failed:
            operation = failed.split()[0]
            figures.failed[operation] = figures.failed.get(operation, 0) + 1
            figures.told += bool(error)
            figures.published += bool(error) and is_new
        return bool(failed)

    def heal(self) -> None:
        """Refresh without a failure, and see that all is right.

        Raises:
            AssertionError: It is not.
        """
        self.site.refresh()
        self.site.assert_refreshed()


def fail_and_heal(folder: Path, seed: int, sample: int | None) -> Failures:
    """Have file operations fail, one a refresh, and heal each.

    Args:
        folder: A folder that does not exist.
        seed: What chance begins with.
        sample: How many of the operations fail; all of them if left out.
    """
    folder.mkdir()
    figures = Failures()
    failing = FailingIo(folder)
    with _refresher(failing) as refresher:
        later = FailingRefreshes(folder / "later", refresher, failing, seed)
        in_first = later.operations()
        for _ in range(KEPT_GENERATIONS):  # the next one removes an old generation
            later.site.go_on(HOUR / 6, HOUR * 2)
            in_later = later.operations()
        figures.operations = in_first.count, in_later.count
        firsts: Iterable[int] = count(1)
        others: Iterable[int] = count(1)
        if sample:
            chance = random.Random(seed)  # noqa: S311 - a seed, not a secret
            firsts = chance.sample(range(1, in_first.count + 1), sample // _FIRST_SHARE)
            others = _sample(in_later, sample - len(firsts), chance)
        first = FailingRefreshes(folder / "first", refresher, failing, seed)
        try:
            _fail_first(first, firsts, figures)
            _fail_later(later, others, figures, heal_every=_HEAL_EVERY if sample else 1)
        except (AssertionError, DbmonError, duckdb.Error) as error:
            figures.problems.append(f"{type(error).__name__}: {error}"[:1000])
        first.site.close()
        later.site.close()
    return figures


def _fail_first(refreshes: FailingRefreshes, numbers: Iterable[int], figures: Failures) -> None:
    """Have operations fail in a home of which nothing is published, and heal it in the end."""
    for number in numbers:
        if not refreshes.fail(number, figures) or refreshes.site.published().generation:
            break
    refreshes.heal()


def _fail_later(
    refreshes: FailingRefreshes, numbers: Iterable[int], figures: Failures, *, heal_every: int
) -> None:
    """Have operations fail in a home that was refreshed, and heal it after every so many."""
    for turn, number in enumerate(numbers):
        if turn % heal_every == 0:
            refreshes.site.go_on(HOUR / 6, HOUR * 2)
        if not refreshes.fail(number, figures) and isinstance(numbers, count):
            break
        if turn % heal_every == heal_every - 1:
            refreshes.heal()
    refreshes.heal()


def _sample(operations: Operations, size: int, chance: random.Random) -> list[int]:
    """Choose operations; half of them are those by which the draft is finished and published."""
    end = operations.linked_at
    near = chance.sample(range(end - _BEFORE_THE_LINK, end + _AFTER_THE_LINK), size // 2)
    return near + chance.sample(range(1, operations.count + 1), size - len(near))


@contextmanager
def _refresher(failing: FailingIo) -> Iterator[Companion]:
    refresher = Companion("refresher", environ=clean_environ(**failing.environ))
    try:
        yield refresher
    finally:
        refresher.kill()
