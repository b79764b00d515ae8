"""Histories in which owner, reader and refresh are processes: held files, kills, other files."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.refresh.worker import Worker
from dbmon_pipeline_tests.helpers import Refreshed, make_source, refresh_with
from dbmon_pipeline_tests.histories import History
from dbmon_pipeline_tests.soak.work import Victim, Work

STEPS_IN_A_HOME = 50
"""The next steps begin with a new one."""
_OWN_SHARE = 0.25
"""How often something happens that a history alone does not have."""
_LONGEST_KILL_SECONDS = 0.8
_READER_ENDS_SECONDS = 10.0


class Machine(History):
    """A history whose owner may hold the source, and whose refreshes are killed now and then."""

    def __init__(self, folder: Path, seed: int) -> None:
        """Begin with an empty source that was never read."""
        super().__init__(folder, seed)
        self.kills = 0
        self._held: duckdb.DuckDBPyConnection | None = None
        self._worker = Worker(self.settings.home)

    def close(self) -> None:
        """End its processes."""
        self.let_go()
        self._worker.close()

    def step(self) -> None:
        """Let one thing happen."""
        if self.must_refresh or self.chance.random() > _OWN_SHARE:
            super().step()
            return
        deeds: tuple[Callable[[], None], ...] = (self.hold, self.let_go, self.rotate)
        self.chance.choice((*deeds, self.kill, self.kill))()

    def hold(self) -> None:
        """Keep the file open for writing."""
        if self._held is None:
            self.log.append("hold")
            self._held = connect(self.settings.source)

    def let_go(self) -> None:
        """Close the file."""
        if self._held is not None:
            self.log.append("let go")
            self._held.close()
        self._held = None

    def replace(self) -> None:
        """Put a copy in the place of the file, which nobody holds."""
        self.let_go()
        super().replace()

    def rotate(self) -> None:
        """Go on with an empty file, once the old one was read, and put a row into it."""
        self.let_go()
        self.refresh(full=True)
        self.log.append("rotate")
        fresh = make_source(self.settings.source.with_name("fresh.db"))
        fresh.replace(self.settings.source)
        self.pruned |= self.rows
        self.rows = {}
        self._write({f"rotated {self.now}": {**self._row(), "timestamp": self.now}})
        self.must_refresh = False
        self.refresh(is_replaced=True)

    def kill(self) -> None:
        """Kill a refresh after a time; it has published, or it has not."""
        victim = self.chance.choice(list(Victim))
        seconds = self.chance.random() * _LONGEST_KILL_SECONDS
        self.log.append(f"kill {victim} of a refresh {self.now} after {seconds:.3f} s")
        before = self._published()
        work = Work(self.settings, self.now, full=True)
        was_killed = work.kill_after(seconds, victim) is None
        assert not work.error, work.error
        assert work.reader_has_ended(_READER_ENDS_SECONDS)
        self.kills += was_killed
        if self._published() > before:
            self.must_refresh = False
            self.model.refresh(self.rows.values(), self.now, full=True)
        else:
            assert was_killed
            assert victim != Victim.READER
        if self._published():
            self.model.check(self.settings)

    def run_refresh(self, **request: Any) -> Refreshed:
        """Refresh by a reader process, since this one may hold the source."""
        worker = self._worker
        return refresh_with(worker.lock, worker.reader, self.settings, self.now, **request)

    def open_for_writing(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the source, unless it is held."""
        return nullcontext(self._held) if self._held else super().open_for_writing()

    def _published(self) -> int:
        current = self.settings.home.current
        return int(current.resolve().name) if current.exists() else 0


def take_steps(steps: int, seed: int) -> int:
    """Let so many things happen, in homes with a seed each.

    Args:
        steps: How many.
        seed: That of the first home; each next one has the next.

    Returns:
        How many refreshes were killed at work.

    Raises:
        AssertionError: What is published is wrong; its notes tell the seed and the steps.
    """
    kills = 0
    for number in range(-(-steps // STEPS_IN_A_HOME)):
        with TemporaryDirectory(prefix="machine-") as folder:
            machine = Machine(Path(folder), seed + number)
            try:
                machine.play(STEPS_IN_A_HOME)
            finally:
                machine.close()
            kills += machine.kills
    return kills
