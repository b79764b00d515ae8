"""Explanation of a verdict: its main contributors, and whether work got worse or only changed.

A rate of all executions can fall because each kind of work fails more often, or because more of the
work is of a kind that always failed often. The two are separated by the decomposition of
E. M. Kitagawa, Components of a difference between two rates, Journal of the American Statistical
Association 50 (1955).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dbmon_pipeline.core.common.rows import Records, Scalar
from dbmon_pipeline.core.query.questions import FILTERS
from dbmon_pipeline.core.query.reader import Reader

_BASELINE = timedelta(days=7)
_MOST = 10
_MOST_LINES = 3
_LONGEST_WITH_EXAMPLES = timedelta(hours=24)

Cell = Mapping[str, Scalar]


@dataclass(frozen=True)
class Explanation:
    """Explanation of a value.

    Attributes:
        value: What part of the executions is bad now (or what they cost, in USD); None of nothing.
        usual: The same over the seven days before.
        change_by_mix: How much of the change comes from another mix of work.
        change_by_rate: How much comes from the same work going worse.
        contributions: The combinations of model tier, pool, repo and task type with the largest
            share of what is bad, each with its executions and with its own usual rate.
        failures: The error types of the window with their newest task ids.
    """

    value: float | None
    usual: float | None
    change_by_mix: float | None
    change_by_rate: float | None
    contributions: Records
    failures: Records


def explain(
    reader: Reader,
    measurement: str,
    window: tuple[datetime, datetime],
    filters: Mapping[str, str],
) -> Explanation:
    """Explain a measurement over a window.

    Args:
        reader: Of published data, or of a database.
        measurement: What was measured.
        window: The window ``[start, end)`` of the verdict.
        filters: The column and value of its scope, if it has one.

    Raises:
        NotPublishedError: A published file is damaged or gone.
        SourceError: The database cannot be read.
    """
    start, end = window
    given = {name: filters.get(name) for name in FILTERS}
    now = reader.measure("cells", end - start, end, **given).records
    before = reader.measure("cells", _BASELINE, start, **given).records
    bad = _bad(measurement)
    mix, rate = _change(now, before, bad)
    failures: Records = []
    if end - start <= _LONGEST_WITH_EXAMPLES:
        failures = reader.measure("failures", end - start, end, **given).records
    return Explanation(
        value=_rate(now, bad),
        usual=_rate(before, bad),
        change_by_mix=mix,
        change_by_rate=rate,
        contributions=_contributions(now, before, bad),
        failures=failures,
    )


def contributors(
    reader: Reader,
    measurement: str,
    window: tuple[datetime, datetime],
    filters: Mapping[str, str],
) -> tuple[str, ...]:
    """List the repos and task types that contribute most to a measurement, a line each.

    Raises:
        NotPublishedError: A published file is damaged or gone.
        SourceError: The database cannot be read.
    """
    start, end = window
    given = {name: filters.get(name) for name in FILTERS}
    cells = reader.measure("cells", end - start, end, **given).records
    bad = _bad(measurement)
    total = sum(map(bad, cells))
    if not total:
        return ()
    sums: defaultdict[tuple[str, str], float] = defaultdict(float)
    for cell in cells:
        for dimension in ("repo", "task_type"):
            sums[dimension, str(cell[dimension])] += bad(cell)
    worst = sorted(sums.items(), key=lambda item: (-item[1], item[0]))[:_MOST_LINES]
    return tuple(
        f"{dimension} {name}: {part / total:.0%}" for (dimension, name), part in worst if part
    )


def _bad(measurement: str) -> Callable[[Cell], float]:
    """Return the function that measures the bad part of a cell."""
    match measurement:
        case "success_rate" | "success_slo":
            return lambda cell: _number(cell["executions"]) - _number(cell["successes"])
        case "error_rate":
            return lambda cell: _number(cell["errors"])
        case "slow_executions":
            return lambda cell: _number(cell["seconds"])
        case "cost_budget" | "cost_drift":
            return lambda cell: _number(cell["cost"])
    return lambda cell: _number(cell["executions"])


def _rate(cells: Sequence[Cell], bad: Callable[[Cell], float]) -> float | None:
    executions = sum(_number(cell["executions"]) for cell in cells)
    return sum(map(bad, cells)) / executions if executions else None


def _change(
    now: Sequence[Cell], before: Sequence[Cell], bad: Callable[[Cell], float]
) -> tuple[float | None, float | None]:
    """Split the change of the rate by the mix of cells, and by the rates within them."""
    shares_now, rates_now = _shares(now, bad)
    shares_before, rates_before = _shares(before, bad)
    if not shares_now or not shares_before:
        return None, None
    by_mix = by_rate = 0.0
    for key in shares_now.keys() | shares_before.keys():
        share, share_before = shares_now.get(key, 0.0), shares_before.get(key, 0.0)
        # What is new or gone has no rate of its own to compare with: it is a change of the mix.
        rate = rates_now.get(key, rates_before.get(key, 0.0))
        rate_before = rates_before.get(key, rate)
        by_mix += (share - share_before) * (rate + rate_before) / 2
        by_rate += (rate - rate_before) * (share + share_before) / 2
    return by_mix, by_rate


def _shares(
    cells: Sequence[Cell], bad: Callable[[Cell], float]
) -> tuple[dict[tuple[Scalar, ...], float], dict[tuple[Scalar, ...], float]]:
    """Compute each cell's share of the executions, and its rate."""
    total = sum(_number(cell["executions"]) for cell in cells)
    return (
        {_key(cell): _number(cell["executions"]) / total for cell in cells},
        {_key(cell): bad(cell) / _number(cell["executions"]) for cell in cells},
    )


def _contributions(
    now: Sequence[Cell], before: Sequence[Cell], bad: Callable[[Cell], float]
) -> Records:
    total = sum(map(bad, now))
    if not total:
        return []
    usual = _shares(before, bad)[1]
    worst = sorted(now, key=lambda cell: (-bad(cell), _key(cell)))[:_MOST]
    return [
        {
            **{dimension: cell[dimension] for dimension in FILTERS},
            "executions": cell["executions"],
            "share": bad(cell) / total,
            "rate": bad(cell) / _number(cell["executions"]),
            "usual_rate": usual.get(_key(cell)),
        }
        for cell in worst
        if bad(cell)
    ]


def _key(cell: Cell) -> tuple[Scalar, ...]:
    return tuple(cell[dimension] for dimension in FILTERS)


def _number(value: Scalar) -> float:
    return float(value or 0)
