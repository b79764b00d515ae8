"""A look begins right after a write of an owner that writes all the time, and at once otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dbmon_pipeline.core.source import source
from dbmon_pipeline.core.source.file_lock import writing_process
from dbmon_pipeline.core.warehouse import turns
from dbmon_pipeline.core.warehouse.turns import Turns
from dbmon_pipeline_tests.helpers import execution, make_source, refresh_core, running, settings_for
from dbmon_pipeline_tests.truth import assert_published, rows_of

LOOK = 0.008
AS_OF = datetime.fromisoformat("2026-03-01T12:30")
MINUTE = timedelta(minutes=1)
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


def now_and_then_soon(at: float) -> bool:
    """Two writes with time for a look after them, and one with none."""
    within = at % 0.09
    return within < 0.01 or 0.03 <= within < 0.04 or 0.06 <= within < 0.085


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
        assert taking.await_turn(LOOK)
        assert not owner.disturbed_by(LOOK)
        assert owner.now - asked <= 0.251
        owner.now += LOOK + 0.004


@pytest.mark.parametrize(
    ("writes", "seconds", "is_free"),
    [
        (every(0.01, 0.008), 0.258, False),
        (every(0.04, 0.030), 0.270, False),
        (lambda _: True, 0.12, False),
        (every(0.3, 0.297), 0.12, False),
    ],
)
def test_there_may_be_no_time_between(
    tmp_path: Path,
    patch: pytest.MonkeyPatch,
    writes: Callable[[float], bool],
    seconds: float,
    is_free: bool,
) -> None:
    """Waiting ends if writes follow each other too closely, or each is long, or it is kept open."""
    owner = Owner(tmp_path / "learning.db", writes)
    owner.install(patch)
    assert Turns(tmp_path / "learning.db").await_turn(LOOK) is is_free
    assert owner.now - 1_000.0 == pytest.approx(seconds, abs=0.002)


def test_an_owner_that_now_and_then_writes_at_once_again_is_known_after_a_look(
    tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    """Where one may look, nobody comes."""
    path = tmp_path / "learning.db"
    owner = Owner(path, now_and_then_soon)
    owner.install(patch)
    taking = Turns(path)
    free = []
    for _ in range(20):
        os.utime(path, (owner.now, owner.now))
        free.append(taking.await_turn(LOOK))
        assert not (free[-1] and owner.disturbed_by(LOOK))
        owner.now += LOOK + 0.004
    assert free == [True] + [False] * 19


@pytest.mark.parametrize("age", [0.3, 3600.0])
def test_nothing_is_awaited_of_an_owner_that_does_nothing(
    tmp_path: Path, patch: pytest.MonkeyPatch, age: float
) -> None:
    """It may come at any time, or not at all."""
    owner = Owner(tmp_path / "learning.db", lambda _: False)
    owner.install(patch)
    owner.now += age
    before = owner.now
    assert Turns(tmp_path / "learning.db").await_turn(LOOK)
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


OPENS_FOR_EACH_WRITE = """
import pathlib, threading, time, duckdb
failed, stop = 0, threading.Event()
def write():
    global failed
    while not stop.wait(0.003):
        try:
            with duckdb.connect(sys.argv[1], config={"threads": "1"}) as con:
                con.execute("UPDATE executions SET duration_seconds = duration_seconds + 1")
        except duckdb.Error:
            failed += 1
writing = threading.Thread(target=write)
writing.start()
wait()
stop.set()
writing.join()
pathlib.Path(sys.argv[2]).write_text(str(failed))
"""


@pytest.fixture
def no_time(patch: pytest.MonkeyPatch) -> None:
    """What an owner that is never held up leaves, on a machine that is."""
    patch.setattr(Turns, "await_turn", lambda *_: False)


@pytest.mark.usefixtures("no_time")
def test_an_owner_that_leaves_no_time_is_read_from_a_copy(tmp_path: Path) -> None:
    """It is never met, and what is published is what it wrote."""
    settings = settings_for(tmp_path)
    make_source(settings.source, [execution(AS_OF - timedelta(hours=n)) for n in range(1, 40)])
    with running(OPENS_FOR_EACH_WRITE, settings.source, tmp_path / "failed"):
        done = [refresh_core(settings, AS_OF + n * MINUTE) for n in range(3)]
    extractions = [each for refresh in done for each in refresh.extractions]
    assert all(each.snapshot for each in extractions)
    assert sum(len(each.holds_ms) for each in extractions) == 0
    assert (tmp_path / "failed").read_text() == "0"
    refresh_core(settings, AS_OF + 3 * MINUTE)
    assert_published(settings.home, rows_of(settings.source))


@pytest.mark.usefixtures("no_time")
def test_a_large_one_is_looked_at_all_the_same(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    """A copy of it would not be done in time."""
    patch.setattr(source, "_QUICKLY_COPIED_BYTES", 0)
    settings = settings_for(tmp_path)
    make_source(settings.source, [execution(AS_OF - timedelta(hours=n)) for n in range(1, 40)])
    with running(OPENS_FOR_EACH_WRITE, settings.source, tmp_path / "failed"):
        (extraction,) = refresh_core(settings, AS_OF).extractions
    assert extraction.snapshot is None
    assert (extraction.rows, extraction.data_through) == (39, AS_OF)
