"""Everything that the bench measures, in its order, as rows of the table."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from dbmon_pipeline.core.common.instants import HOUR
from dbmon_pipeline_tests.benchmarks.refresh import questions, rows, work
from dbmon_pipeline_tests.benchmarks.refresh.contest import Contest
from dbmon_pipeline_tests.benchmarks.refresh.histories import END, make_histories
from dbmon_pipeline_tests.benchmarks.refresh.processes import DBMON, Ran, call, python, run
from dbmon_pipeline_tests.benchmarks.refresh.rivals import RIVALS
from dbmon_pipeline_tests.benchmarks.refresh.table import Row, short

WHOLE, QUESTIONS = "whole", "questions"
PARTS = (WHOLE, QUESTIONS, *RIVALS)
_STARTS = 5
_IMPORTS = "import duckdb, msgspec, pydantic, typer"
_NOTHING = f"{_IMPORTS}; app = typer.Typer(); app.command()(lambda: None); app([])"


@dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
        rows: The executions of the history that all is measured on; a tenth of it is another.
        long: Those of a longer one that only refreshes are measured on, 0 for none.
        per_day: How many executions a day has.
        hours: How many next hours are refreshed one after the other.
        parts: What is measured besides the work inside a refresh.
    """

    rows: int
    long: int
    per_day: int
    hours: int
    parts: Sequence[str]


@dataclass
class Whole:
    """Whole processes of the command line.

    Attributes:
        environ: Which source and home they have.
        first: The first refresh.
        hours: The later ones.
        dagster: ``import dagster``, beside each of those.
    """

    environ: dict[str, object]
    first: Ran | None = None
    hours: list[Ran] = field(default_factory=list)
    dagster: list[Ran] = field(default_factory=list)

    def refresh(self, as_of: datetime) -> Ran:
        """Run the command."""
        return run(DBMON, "refresh", "--as-of", as_of.isoformat(), environ=self.environ)


def measure(folder: Path, options: Options) -> Iterator[Row]:
    """Do it all, in a folder that has room.

    Raises:
        BenchError: Something of our own failed.
    """
    _tell("making the sources")
    sizes = (options.rows // 10, options.rows, *([options.long] if options.long else []))
    histories = make_histories(folder, sizes, options.per_day)
    main = next(history for history in histories if history.rows == options.rows)
    whole = Whole({"DBMON_SOURCE": main.source, "DBMON_HOME": main.folder / "whole"})
    contest = Contest([RIVALS[name] for name in options.parts if name in RIVALS], main, _tell)
    for history in histories:
        _tell(f"a refresh from nothing, {short(history.rows)}")
        history.grouped = call(work.__name__, "group-by", history.source)
        history.first = history.refresh(END)
    if WHOLE in options.parts:
        _tell("the same as a whole process")
        whole.first = whole.refresh(END)
    contest.begin(END)
    for number in range(options.hours):
        _tell(f"next hour {number + 1} of {options.hours}")
        until = END + number * HOUR
        for history in histories:
            history.grow(until)
        for history in histories:
            history.hours.append(history.refresh(until + HOUR))
        if whole.first:
            whole.hours.append(whole.refresh(until + HOUR))
            whole.dagster.append(python("import dagster"))
        contest.go_on(until + HOUR)
    as_of = END + options.hours * HOUR
    contest.end(as_of)
    yield from rows.refreshes(histories)
    if whole.first:
        yield from rows.whole(main, whole.first, whole.hours, whole.dagster)
    yield from contest.rows(rows.median_seconds(whole.hours))
    yield from rows.footprint(histories)
    if whole.first:
        yield from _starts(whole.environ, as_of)
    if QUESTIONS in options.parts:
        _tell("questions")
        yield from rows.questions(call(questions.__name__, main.home, as_of.isoformat()))


def _starts(environ: dict[str, object], as_of: datetime) -> Iterator[Row]:
    _tell("starts")
    status = (DBMON, "status", "--as-of", as_of.isoformat())
    bare, idle, full = [], [], []
    for _ in range(_STARTS):
        bare.append(python(_IMPORTS).seconds)
        idle.append(python(_NOTHING).seconds)
        full.append(run(*status, environ=environ, fails=True).seconds)
    base = statistics.median(bare)
    yield Row("dbmon status", statistics.median(full), "s", _IMPORTS, base)
    yield Row("a command that does nothing", statistics.median(idle), "s", _IMPORTS, base)


def _tell(line: str) -> None:
    sys.stderr.write(f"{line} ...\n")
