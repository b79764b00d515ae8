"""Figures as rows of the table."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence

from dbmon_pipeline_tests.benchmarks.refresh.histories import Figures, History
from dbmon_pipeline_tests.benchmarks.refresh.processes import Ran
from dbmon_pipeline_tests.benchmarks.refresh.table import HOLD_LIMIT_MS, MEMORY_LIMIT_MB, Row, short


def refreshes(histories: Sequence[History]) -> Iterator[Row]:
    """The work inside a refresh: from nothing, and of the next hour."""
    for each in histories:
        grouped, what = each.grouped["seconds"], f"refresh from nothing, {short(each.rows)}"
        seconds, bare = each.first["seconds"], "one bare GROUP BY"
        yield Row(what, seconds, "s", bare, grouped, goal="backfill", history=each.rows)
    smallest = histories[0]
    least, size = smallest.middle("seconds"), f"next hour after {short(smallest.rows)}"
    for each in histories[1:]:
        hour, seconds = f"next hour after {short(each.rows)}", each.middle("seconds")
        note = f"{each.middle('rows'):,.0f} rows"
        yield Row(hour, seconds, "s", size, least, note, "flat", each.rows)
        what, first = f"full rebuild by dbmon, {short(each.rows)}", each.first["seconds"]
        yield Row(what, first, "s", hour, seconds, "", "rebuild of ours", each.rows)


def whole(
    history: History, first: Ran, hours: Sequence[Ran], dagster: Sequence[Ran]
) -> Iterator[Row]:
    """``dbmon refresh`` as a whole process: from nothing, and of the next hour."""
    size, bare = short(history.rows), history.grouped["seconds"]
    nothing, hour = f"dbmon refresh from nothing, {size}", f"dbmon refresh of the next hour, {size}"
    yield Row(nothing, first.seconds, "s", "one bare GROUP BY", bare)
    seconds, base = median_seconds(hours), median_seconds(dagster)
    yield Row(hour, seconds, "s", "import dagster", base, goal="whole")
    yield _memory(nothing, [first.peak_mb])
    yield _memory(hour, [ran.peak_mb for ran in hours])


def footprint(histories: Sequence[History]) -> Iterator[Row]:
    """Holds of the source, peak memory, and what is written and stored."""
    for each in histories:
        name = short(each.rows)
        yield _hold(f"refresh from nothing, {name}", [each.first])
        yield _hold(f"next hour after {name}", each.hours)
    for each in histories:
        name = short(each.rows)
        yield _memory(f"refresh from nothing, {name}", [each.first["peak_mb"]])
        yield _memory(f"next hour after {name}", [hour["peak_mb"] for hour in each.hours])
    smallest = histories[0]
    least = smallest.middle("warehouse_bytes")
    for each in histories[1:]:
        what = f"publishing the next hour after {short(each.rows)}"
        against = f"publishing that after {short(smallest.rows)}"
        seconds, base = (h.middle("publishing_seconds") for h in (each, smallest))
        stored = each.middle("warehouse_bytes")
        note = f"{each.middle('publishing_bytes') / 1e6:.1f} MB written; a warehouse of"
        note += f" {stored / 1e6:,.0f} MB, {stored / least:.1f} x as large"
        yield Row(what, seconds, "s", against, base, note)
    for each in histories:
        base = each.middle("source_bytes") / each.middle("executions")
        for place in ("warehouse", "published"):
            value = each.middle(f"{place}_bytes") / each.middle("executions")
            what = f"bytes per execution, {place}, {short(each.rows)}"
            yield Row(what, value, "bytes", "in the source", base)


def questions(figures: Mapping[str, Figures]) -> Iterator[Row]:
    """Every question beside its raw form."""
    middle = {
        figure: statistics.median(row[figure] for row in figures.values())
        for figure in ("first_ms", "warm_ms", "raw_ms")
    }
    for name, row in {"the median question": middle, **figures}.items():
        what, note = f"{name} over 90d, by brute force", f"{row['first_ms']:.1f} ms the first time"
        yield Row(what, row["raw_ms"], "ms", "as dbmon answers it", row["warm_ms"], note)


def median_seconds(runs: Sequence[Ran]) -> float:
    """The median of their wall times, 0 of none."""
    return statistics.median([run.seconds for run in runs] or [0])


def _hold(what: str, refreshes: Sequence[Figures]) -> Row:
    worst = max(refreshes, key=lambda figures: figures["longest_hold_ms"])
    note = f"{worst['total_hold_ms']:,.0f} ms in {worst['holds']:.0f} holds"
    what, value = f"longest hold of the source, {what}", worst["longest_hold_ms"]
    return Row(what, value, "ms", "what is allowed", HOLD_LIMIT_MS, note, "hold")


def _memory(what: str, peaks_mb: Sequence[float]) -> Row:
    what, limit = f"peak memory, {what}", MEMORY_LIMIT_MB
    return Row(what, max(peaks_mb), "MB", "what is allowed", limit, goal="memory")
