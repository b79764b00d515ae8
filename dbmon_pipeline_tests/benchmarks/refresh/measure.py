"""Everything that the bench measures, in its order, as rows of the table."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dbmon_pipeline.core.common.instants import HOUR, utc_now
from dbmon_pipeline_tests.benchmarks.refresh import questions, rows
from dbmon_pipeline_tests.benchmarks.refresh.beside import measure_owners
from dbmon_pipeline_tests.benchmarks.refresh.commands import Commands, sparse_and_dense
from dbmon_pipeline_tests.benchmarks.refresh.contest import Contest
from dbmon_pipeline_tests.benchmarks.refresh.dev import measure_dev
from dbmon_pipeline_tests.benchmarks.refresh.histories import History, make_histories, with_texts
from dbmon_pipeline_tests.benchmarks.refresh.processes import DBMON, call, run
from dbmon_pipeline_tests.benchmarks.refresh.rivals import RIVALS
from dbmon_pipeline_tests.benchmarks.refresh.sources import END
from dbmon_pipeline_tests.benchmarks.refresh.table import Row, short

TEXTS, WHOLE, QUESTIONS, OWNER, SPARSE = "texts", "whole", "questions", "owner", "sparse"
PARTS = (TEXTS, WHOLE, QUESTIONS, OWNER, SPARSE, *RIVALS)
_DEV_ROWS = 50_000
_DEV_DAYS = 30


@dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
        rows: The executions of the history that all is measured on; a tenth of it is another.
        long: Those of a longer one that only refreshes are measured on, 0 for none.
        per_day: How many executions a day has.
        hours: How many next hours are refreshed one after the other.
        parts: What is measured besides the work inside a refresh.
        owner_seconds: For how long each owner writes, three times.
        dev_seconds: For how long ``dbmon dev`` runs, twice; 0 for not at all.
    """

    rows: int
    long: int
    per_day: int
    hours: int
    parts: Sequence[str]
    owner_seconds: float = 20.0
    dev_seconds: float = 0.0


class _Bench:
    """One run of the bench, in a folder that has room."""

    def __init__(self, folder: Path, options: Options) -> None:
        self._folder = folder
        self._options = options
        self._parts = frozenset(options.parts)
        self._as_of = END + options.hours * HOUR
        _tell("making the sources")
        sizes = (options.rows // 10, options.rows, *([options.long] if options.long else []))
        self._plain = make_histories(folder, sizes, options.per_day)
        self._short = self._plain[0]
        self._main = next(history for history in self._plain if history.rows == options.rows)
        self._commands = Commands(self._main.source, self._main.folder / "whole")
        rivals = [RIVALS[name] for name in options.parts if name in RIVALS]
        self._contest = Contest(rivals, self._main, _tell)
        self._histories: list[History] = [*self._plain]

    def run(self) -> Iterator[Row]:
        if TEXTS in self._parts:
            _tell("making sources with other texts")
            self._histories += [with_texts(self._main, "unique"), with_texts(self._short, "long")]
        self._begin()
        for number in range(self._options.hours):
            self._add_hour(number)
        self._contest.end(self._as_of)
        yield from rows.refreshes(self._histories)
        yield from rows.commands(self._main, self._commands)
        yield from self._contest.rows(rows.median_seconds(self._commands.hours))
        yield from rows.footprint(self._histories)
        yield from self._others()

    def _begin(self) -> None:
        for history in self._histories:
            _tell(f"a first refresh, {short(history.rows)} {history.texts}".rstrip())
            history.begin(END)
        if WHOLE in self._parts:
            _tell("the same as a whole command")
            self._commands.begin(END)
        self._contest.begin(END)

    def _add_hour(self, number: int) -> None:
        _tell(f"next hour {number + 1} of {self._options.hours}")
        until = END + number * HOUR
        for history in self._histories:
            history.add_hour(until + HOUR, until)
        if WHOLE in self._parts:
            self._commands.add_hour(until + HOUR)
        self._contest.add_hour(until + HOUR)

    def _others(self) -> Iterator[Row]:
        if OWNER in self._parts:
            _tell("owners beside refreshes")
            yield from rows.owners(measure_owners(self._short, self._options.owner_seconds))
        if WHOLE in self._parts:
            _tell("starts")
            yield from rows.starts([*self._commands.starts(self._as_of)])
        if SPARSE in self._parts:
            _tell("sparse history")
            yield from rows.sparse([*sparse_and_dense(self._folder, END)])
        if self._options.dev_seconds:
            yield from self._dev(self._options.dev_seconds)
        if QUESTIONS in self._parts:
            _tell("questions")
            asked = (self._main.home, self._main.source, self._as_of.isoformat())
            yield from rows.questions(call(questions.__name__, *asked))

    def _dev(self, seconds: float) -> Iterator[Row]:
        _tell(f"dbmon dev, for {2 * seconds / 60:g} minutes and some")
        source = self._folder / "dev.db"
        size = ("--rows", _DEV_ROWS, "--days", _DEV_DAYS, "--end", utc_now().isoformat())
        run(DBMON, "sample", source, *size)
        yield from rows.dev(measure_dev(source, self._folder / "dev", seconds), seconds)


def measure(folder: Path, options: Options) -> Iterator[Row]:
    """Measure everything, in a folder that has room.

    Raises:
        BenchError: Something of our own failed.
    """
    yield from _Bench(folder, options).run()


def _tell(line: str) -> None:
    sys.stderr.write(f"{line} ...\n")
