"""Figures as rows of the table."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence

from dbmon_pipeline_tests.benchmarks.refresh.beside import OwnerFigures
from dbmon_pipeline_tests.benchmarks.refresh.commands import IMPORTS, Commands
from dbmon_pipeline_tests.benchmarks.refresh.dev import DevFigures
from dbmon_pipeline_tests.benchmarks.refresh.histories import Figures, History
from dbmon_pipeline_tests.benchmarks.refresh.owner import DELAYED_MS
from dbmon_pipeline_tests.benchmarks.refresh.processes import Ran
from dbmon_pipeline_tests.benchmarks.refresh.table import (
    DEV_CPU_SECONDS,
    DEV_SECONDS,
    MEMORY_LIMIT_MB,
    MOST_AGE_SECONDS,
    PUBLISHED_BYTES,
    PUBLISHED_BYTES_UNIQUE,
    Row,
    short,
)

_PHASES = ("compare", "read", "roll up", "write", "judge", "publish")
_BARE = "one bare GROUP BY"


def refreshes(histories: Sequence[History]) -> Iterator[Row]:
    """Yield the work inside a refresh: from nothing, and of the next hour."""
    for each in histories:
        what, seconds = f"first refresh, {_name(each)}", each.first["seconds"]
        note = _phases([each.first])
        yield Row(what, seconds, "s", _BARE, each.grouped[0], note, _goal("first", each), each.rows)
    for each in histories:
        what, seconds = f"next hour after {_name(each)}", each.median("seconds")
        grouped, goal = each.grouped_beside_hours, _goal("hour", each)
        yield Row(what, seconds, "s", _BARE, grouped, _phases(each.hours), goal, each.rows)
    smallest, *longer = (each for each in histories if not each.texts)
    least, base = f"that after {_name(smallest)}", smallest.median("seconds")
    for each in longer:
        what, seconds = f"the same after {_name(each)}, as it grows", each.median("seconds")
        note = f"{each.median('rows'):,.0f} rows read, {each.median('files_written'):.0f} files"
        yield Row(what, seconds, "s", least, base, note, "flat", each.rows)


def commands(history: History, made: Commands) -> Iterator[Row]:
    """Yield ``dbmon refresh`` as a whole: from nothing, and of the next hour."""
    if not made.first:
        return
    size = short(history.rows)
    first, hour = f"dbmon refresh from nothing, {size}", f"dbmon refresh of the next hour, {size}"
    yield Row(first, made.first.seconds, "s", _BARE, history.grouped[0], _cpu([made.first]))
    seconds, base = median_seconds(made.hours), median_seconds(made.dagster)
    yield Row(hour, seconds, "s", "import dagster", base, _cpu(made.hours), "whole")
    yield _memory(first, [made.first.peak_mb])
    yield _memory(hour, [ran.peak_mb for ran in made.hours])


def footprint(histories: Sequence[History]) -> Iterator[Row]:
    """Yield peak memory, and what is written and stored."""
    for each in histories:
        yield _memory(f"first refresh, {_name(each)}", [each.first["peak_mb"]])
        yield _memory(f"next hour after {_name(each)}", [hour["peak_mb"] for hour in each.hours])
    for each in histories:
        if each.texts == "long":
            continue
        published, executions = each.median("published_bytes"), each.median("executions")
        source = each.median("source_bytes") / executions
        limit = PUBLISHED_BYTES_UNIQUE if each.texts else PUBLISHED_BYTES
        goal = "bytes of unique texts" if each.texts else "bytes"
        note = f"the source has {source:,.0f}"
        what, value = f"published bytes per execution, {_name(each)}", published / executions
        yield Row(what, value, "bytes", "what is allowed", limit, note, goal, each.rows)
        last = each.hours[-1]
        what, note = f"the home without dagster/, {_name(each)}", "all generations that are kept"
        values = last["home_bytes"] / 1e6, last["published_bytes"] / 1e6
        yield Row(
            what, values[0], "MB", "the current generation", values[1], note, "copies", each.rows
        )


def owners(figures: Iterable[OwnerFigures]) -> Iterator[Row]:
    """Yield an owner's failed and delayed writes beside refreshes."""
    for each in figures:
        beside, other, alone = each.beside_refreshes, each.beside_work, each.alone
        who = f"an owner that {each.way} its file"
        done = each.refreshes
        note = f"{done['refreshes']:.0f} refreshes, {done['failed']:.0f} failed;"
        note += f" {done['thrown_away']:.0f} readings thrown away"
        what, total = f"failed writes of {who}", beside["writes"]
        yield Row(what, beside["failed"], "writes", "of all", total, note, "owner")
        what = f"its writes that took over {DELAYED_MS:.0f} ms, {each.way}"
        against = "beside a GROUP BY of another file"
        note = f"{alone['delayed']:.0f} alone"
        yield Row(what, beside["delayed"], "writes", against, other["delayed"], note)
        what, note = f"its slowest writes (p99), {each.way}", f"{alone['p99_ms']:.1f} ms alone"
        yield Row(what, beside["p99_ms"], "ms", against, other["p99_ms"], note)


def sparse(pairs: Sequence[tuple[Ran, Ran]]) -> Iterator[Row]:
    """Yield whole commands over sparse history beside dense history."""
    of_sparse, of_dense = (median_seconds(ran) for ran in zip(*pairs, strict=True))
    what = "dbmon refresh from nothing, 100 executions, one a week"
    yield Row(what, of_sparse, "s", "the same within a day", of_dense, goal="sparse")


def starts(figures: Sequence[tuple[float, float, float]]) -> Iterator[Row]:
    """Yield the start of the command line beside its imports."""
    imports, nothing, status = (statistics.median(column) for column in zip(*figures, strict=True))
    yield Row("dbmon status", status, "s", IMPORTS, imports, goal="status")
    yield Row("a command that does nothing", nothing, "s", IMPORTS, imports)


def dev(figures: DevFigures, seconds: float) -> Iterator[Row]:
    """Yield what ``dbmon dev`` took."""
    allowed, span = DEV_CPU_SECONDS * seconds / DEV_SECONDS, f"in {seconds / 60:g} minutes"
    note = f"{figures.peak_mb:,.0f} MB"
    yield Row(f"CPU of dbmon dev {span}, idle", figures.idle, "s", "allowed", allowed, note, "dev")
    what, note = f"CPU of dbmon dev {span}, busy", f"{figures.executions} executions"
    yield Row(what, figures.busy, "s", "allowed", allowed, note, "dev")
    what, note = "until dbmon dev has an execution published", "the slowest one"
    yield Row(what, figures.oldest, "s", "allowed", MOST_AGE_SECONDS, note, "age")


def questions(figures: Mapping[str, Figures]) -> Iterator[Row]:
    """Yield every question beside its raw form."""
    middle = {
        figure: statistics.median(row[figure] for row in figures.values())
        for figure in ("first_ms", "warm_ms", "raw_ms")
    }
    for name, row in {"the median question": middle, **figures}.items():
        what, note = f"{name} over 90d, by brute force", f"{row['first_ms']:.1f} ms the first time"
        yield Row(what, row["raw_ms"], "ms", "as dbmon answers it", row["warm_ms"], note)


def median_seconds(runs: Sequence[Ran]) -> float:
    """Compute the median of wall times, 0 of none."""
    return statistics.median([run.seconds for run in runs] or [0])


def _name(history: History) -> str:
    size = short(history.rows)
    return f"{size} with {history.texts} texts" if history.texts else size


def _goal(name: str, history: History) -> str:
    return "" if history.texts else name


def _phases(figures: Sequence[Figures]) -> str:
    """Tell the processor time and the seconds of each phase, in their medians."""
    phases = ", ".join(
        f"{phase} {statistics.median(each.get(f'{phase} seconds', 0) for each in figures):.2f}"
        for phase in _PHASES
    )
    cpu = statistics.median(each["cpu_seconds"] for each in figures)
    return f"{cpu:.2f} CPU seconds; {phases}"


def _cpu(runs: Sequence[Ran]) -> str:
    return f"{statistics.median(ran.cpu_seconds for ran in runs):.2f} CPU seconds"


def _memory(what: str, peaks_mb: Sequence[float]) -> Row:
    what, limit = f"peak memory, {what}", MEMORY_LIMIT_MB
    return Row(what, max(peaks_mb), "MB", "what is allowed", limit, goal="memory")
