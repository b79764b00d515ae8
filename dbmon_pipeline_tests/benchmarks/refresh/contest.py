"""The rivals beside us: the same first load, the same next hours, and whether all are equal."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from dbmon_pipeline_tests.benchmarks.refresh import equal
from dbmon_pipeline_tests.benchmarks.refresh.histories import History
from dbmon_pipeline_tests.benchmarks.refresh.processes import BenchError, Ran, call
from dbmon_pipeline_tests.benchmarks.refresh.rivals import TABLES, Rival, Site, installed
from dbmon_pipeline_tests.benchmarks.refresh.table import Row, short


@dataclass
class _Entry:
    """One rival, what it did so far, and why it gave up if it did."""

    rival: Rival
    site: Site | None = None
    runs: list[tuple[float, Ran]] = field(default_factory=list)
    equal: dict[str, list[int]] = field(default_factory=dict)
    failure: str = ""


class Contest:
    """The rivals at work on one history; one that fails is out, and the others go on."""

    def __init__(
        self, rivals: Sequence[Rival], history: History, tell: Callable[[str], None]
    ) -> None:
        """Let them take part; nothing is installed yet.

        Args:
            rivals: Which ones.
            history: What they and we work on.
            tell: Called with what comes next.
        """
        self._entries = [_Entry(rival) for rival in rivals]
        self._history = history
        self._tell = tell

    def begin(self, as_of: datetime) -> None:
        """Install them, and let those that go on from there load everything."""
        for entry in self._entries:
            self._try(entry, "made ready", partial(self._begin, entry, as_of))

    def add_hour(self, as_of: datetime) -> None:
        """Let them load the next hour."""
        for entry in self._entries:
            if entry.rival.is_incremental:
                self._try(entry, "next hour", partial(self._run, entry, as_of))

    def end(self, as_of: datetime) -> None:
        """Let the others make everything anew, and compare all with ours."""
        for entry in self._entries:
            if not entry.rival.is_incremental:
                self._try(entry, "anew", partial(self._run, entry, as_of))
            self._try(entry, "compared with ours", partial(self._compare, entry))

    def rows(self, whole_seconds: float) -> Iterator[Row]:
        """Yield what we cost beside them.

        Args:
            whole_seconds: What ``dbmon refresh`` of the next hour takes, 0 if that is not known.
        """
        for entry in self._entries:
            if entry.failure:
                yield Row(entry.rival.name, None, "s", "", None, note=entry.failure)
            else:
                yield from self._rows_of(entry, whole_seconds)

    def _rows_of(self, entry: _Entry, whole_seconds: float) -> Iterator[Row]:
        ours, size, name = self._history, short(self._history.rows), entry.rival.name
        runs, against = entry.runs, f"{name}, everything anew"
        what, hour = f"first refresh beside {name}, {size}", f"next hour beside {name}, {size}"
        if entry.rival.is_incremental:
            load, *runs = runs
            seconds, note = ours.first["seconds"], _note(load)
            yield Row(what, seconds, "s", name, load[0], note, f"first beside {name}", ours.rows)
            against = f"{name}, incremental"
        inside, whole = (
            statistics.median(figures) for figures in zip(*map(_seconds, runs), strict=True)
        )
        seconds, note, goal = ours.median("seconds"), _note(*runs), f"hour beside {name}"
        yield Row(hour, seconds, "s", against, inside, note, goal, ours.rows)
        if whole_seconds:
            what = f"dbmon refresh of the next hour beside {name}, {size}"
            yield Row(what, whole_seconds, "s", f"{against}, whole process", whole)
        same, total = (sum(column) for column in zip(*entry.equal.values(), strict=True))
        wrong = ", ".join(table for table, (rows, of) in entry.equal.items() if rows != of)
        note = f"not in {wrong}" if wrong else f"in {len(TABLES)} tables"
        yield Row(f"{name}: rows equal to ours", same, "rows", "of either", total, note, "equal")

    def _try(self, entry: _Entry, what: str, step: Callable[[], None]) -> None:
        if entry.failure:
            return
        self._tell(f"{entry.rival.name}, {what}")
        try:
            step()
        except BenchError as error:
            entry.failure = str(error).splitlines()[0]
            self._tell(str(error))

    def _begin(self, entry: _Entry, as_of: datetime) -> None:
        folder = self._history.folder / entry.rival.name
        programs = installed(entry.rival)
        entry.site = Site(entry.rival, programs, self._history.source, folder)
        if entry.rival.is_incremental:
            self._run(entry, as_of)

    def _run(self, entry: _Entry, as_of: datetime) -> None:
        assert entry.site
        entry.runs.append(entry.site.run(as_of))

    def _compare(self, entry: _Entry) -> None:
        assert entry.site
        entry.equal = call(equal.__name__, self._history.home, entry.site.tables)


def _seconds(run: tuple[float, Ran]) -> tuple[float, float]:
    inside, ran = run
    return inside, ran.seconds


def _note(*runs: tuple[float, Ran]) -> str:
    return f"{len(TABLES)} tables; peak {max(ran.peak_mb for _, ran in runs):,.0f} MB"
