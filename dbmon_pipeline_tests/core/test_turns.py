"""A look begins right after a write of an owner that writes all the time, and at once otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from dbmon_pipeline.core import turns
from dbmon_pipeline.core.file_lock import writing_process
from dbmon_pipeline.core.turns import Turns
from dbmon_pipeline_tests.helpers import execution, make_source

LOOK = 0.008
pytestmark = pytest.mark.one_duckdb


class Owner:
    """Holds a file at some times of a clock that only goes on while somebody waits."""

    def __init__(self, path: Path, writes: Callable[[float], bool]) -> None:
        """The file was just written."""
        self.now = 1_000.0
        self._writes = writes
        path.write_bytes(b"")
        os.utime(path, (self.now, self.now))

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Take the place of the clock and of the system."""
        for name, stand_in in {
            "time": lambda: self.now,
            "monotonic": lambda: self.now,
            "sleep": self._go_on,
            "writing_process": lambda _: 7 if self.is_held() else None,
        }.items():
            patch.setattr(f"{turns.__name__}.{name}", stand_in)

    def is_held(self, later: float = 0.0) -> bool:
        """Whether it holds the file so many seconds from now."""
        return self._writes(self.now + later - 1_000.0)

    def disturbed_by(self, look: float) -> bool:
        """Whether it comes while a look that begins now lasts, or is there already."""
        return any(self.is_held(n * look / 50) for n in range(51))

    def _go_on(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    """Undone before the test ends."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def every(period: float, held: float) -> Callable[[float], bool]:
    """Writes at one rate."""
    return lambda at: at % period < held


def in_bursts(at: float) -> bool:
    """Five writes in a row, twice a second, with 4 ms between them."""
    within = at % 0.5
    return within < 5 * 0.014 and within % 0.014 < 0.010


@pytest.mark.parametrize("start", [0.0, 0.007, 0.015, 0.024, 0.033, 0.039])
@pytest.mark.parametrize(
    "writes", [every(0.04, 0.015), every(0.05, 0.03), every(0.1, 0.005), in_bursts]
)
def test_an_owner_that_writes_all_the_time_is_not_met(
    tmp_path: Path, patch: pytest.MonkeyPatch, writes: Callable[[float], bool], start: float
) -> None:
    """Whenever it is that somebody wants to look, however often."""
    path = tmp_path / "learning.db"
    owner = Owner(path, writes)
    owner.now += start
    owner.install(patch)
    taking = Turns(path)
    for _ in range(20):
        os.utime(path, (owner.now, owner.now))
        asked = owner.now
        taking.await_turn(LOOK)
        assert not owner.disturbed_by(LOOK)
        assert owner.now - asked <= 0.251
        owner.now += LOOK + 0.004


@pytest.mark.parametrize(
    ("writes", "seconds"), [(every(0.01, 0.008), 0.258), (lambda _: True, 0.12)]
)
def test_there_may_be_no_time_between(
    tmp_path: Path, patch: pytest.MonkeyPatch, writes: Callable[[float], bool], seconds: float
) -> None:
    """If writes follow each other too closely, or its owner keeps it open, waiting ends."""
    owner = Owner(tmp_path / "learning.db", writes)
    owner.install(patch)
    Turns(tmp_path / "learning.db").await_turn(LOOK)
    assert owner.now - 1_000.0 == pytest.approx(seconds, abs=0.002)


@pytest.mark.parametrize("age", [0.3, 3600.0])
def test_nothing_is_awaited_of_an_owner_that_does_nothing(
    tmp_path: Path, patch: pytest.MonkeyPatch, age: float
) -> None:
    """It may come at any time, or not at all."""
    owner = Owner(tmp_path / "learning.db", lambda _: False)
    owner.install(patch)
    owner.now += age
    before = owner.now
    Turns(tmp_path / "learning.db").await_turn(LOOK)
    assert owner.now == before


def test_a_file_that_is_not_there_is_told_by_whoever_attaches_it(tmp_path: Path) -> None:
    """Not here."""
    Turns(tmp_path / "learning.db").await_turn(LOOK)


def test_the_system_tells_who_writes(tmp_path: Path) -> None:
    """A process that has it open for writing, and nobody after that."""
    path = make_source(tmp_path / "learning.db", [execution(datetime(2026, 3, 1))])
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == "open\n"
        with path.open("rb") as file:
            assert writing_process(file) == owner.pid
        owner.communicate("\n")
    with path.open("rb") as file:
        assert writing_process(file) is None
