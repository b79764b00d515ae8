"""Changes since the period before, and whether they are more than noise.

A rate is compared by its executions, of which each counts for less if the rate varied from day to
day before; sums and means by their values of single days. A day is 24 hours from the
beginning of the period on (in a range of at most 24 hours it is an hour), so that the time zone
does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from dbmon_pipeline.core.common.instants import DAY
from dbmon_pipeline.core.common.rows import Records, number
from dbmon_pipeline.core.stats.comparison import (
    difference_bounds,
    least_chance,
    rank_sum_chance,
    scatter,
)
from dbmon_pipeline.outputs.report.period import Block, Period

CONFIDENCE = 0.995
"""Confidence on each side; so one of a hundred unchanged figures is said to have changed."""

Unit = Literal["count", "rate", "usd", "seconds", "score"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """Change of a figure between two periods.

    Attributes:
        figure: What it is.
        unit: Its unit.
        now: Its value in the period; None of nothing.
        before: Its value in the period before.
        samples_now: How many executions it was made from.
        samples_before: How many it was made from before.
        change: The difference.
        is_more_than_noise: Whether noise does not explain that; None if it cannot be told.
        because: How that is known.
        is_good_up: Whether more of it is better; None if it is neither.
    """

    figure: str
    unit: Unit
    now: float | None
    before: float | None
    samples_now: int
    samples_before: int
    change: float | None
    is_more_than_noise: bool | None
    because: str
    is_good_up: bool | None


def compare(now: Period, before: Period) -> list[Change]:
    """Compare a period with the one before."""
    return [
        _volume("executions a day", "count", "executions", now, before),
        _rate("success rate", "success_rate", "successes", now, before, is_good_up=True),
        _rate("error rate", "error_rate", "errors", now, before, is_good_up=False),
        _volume("cost a day", "usd", "actual_cost_sum", now, before),
        _mean("cost of an execution", "usd", ("avg_cost", "actual_cost"), now, before, up=False),
        _mean("duration", "seconds", ("avg_duration_seconds", "duration"), now, before, up=False),
        _mean("quality", "score", ("avg_quality", "quality"), now, before, up=True),
    ]


def _rate(
    figure: str, column: str, part: str, now: Period, before: Period, *, is_good_up: bool
) -> Change:
    rates = [number(period.totals[column]) for period in (now, before)]
    counts = now.figures.samples, before.figures.samples
    is_real, because = None, _nothing(*rates)
    if rates[0] is not None and rates[1] is not None:
        spread = scatter(
            [(int(block.sums[part]), int(block.sums["executions"])) for block in before.blocks()]
        )
        low, high = difference_bounds(
            rates[0], counts[0] / spread, rates[1], counts[1] / spread, CONFIDENCE
        )
        is_real = not low <= 0 <= high
        because = f"the true change is {low * 100:+.1f} to {high * 100:+.1f} points"
    return Change(
        figure=figure,
        unit="rate",
        now=rates[0],
        before=rates[1],
        samples_now=counts[0],
        samples_before=counts[1],
        change=_change(*rates),
        is_more_than_noise=is_real,
        because=because,
        is_good_up=is_good_up,
    )


def _volume(figure: str, unit: Unit, measure: str, now: Period, before: Period) -> Change:
    column = "executions" if measure == "executions" else "total_cost"
    values = [
        total / period.days
        if (total := number(period.totals[column])) is not None and period.days
        else None
        for period in (now, before)
    ]

    def each(block: Block) -> float:
        return block.sums[measure] / (block.length / DAY)

    counted = "executions" if measure == "executions" else "actual_cost_count"
    return _by_block(figure, unit, values, each, counted, now, before, is_good_up=None)


def _mean(
    figure: str,
    unit: Unit,
    names: tuple[str, str],
    now: Period,
    before: Period,
    *,
    up: bool,
) -> Change:
    column, measure = names
    values = [number(period.totals[column]) for period in (now, before)]

    def each(block: Block) -> float | None:
        known = block.sums[f"{measure}_count"]
        return block.sums[f"{measure}_sum"] / known if known else None

    counted = f"{measure}_count"
    return _by_block(figure, unit, values, each, counted, now, before, is_good_up=up)


def _by_block(
    figure: str,
    unit: Unit,
    values: Sequence[float | None],
    each: Callable[[Block], float | None],
    counted: str,
    now: Period,
    before: Period,
    *,
    is_good_up: bool | None,
) -> Change:
    is_real, because = None, _nothing(*values)
    if not because:
        series = [[*_known(map(each, period.blocks()))] for period in (now, before)]
        unit_of_time = "hours" if now.step < DAY else "days"
        sizes = f"{len(series[0])} and {len(series[1])} {unit_of_time}"
        if least_chance(len(series[0]), len(series[1])) > 2 * (1 - CONFIDENCE):
            because = f"{sizes} are too few to tell"
        else:
            chance = rank_sum_chance(*series)
            is_real = chance <= 2 * (1 - CONFIDENCE)
            because = f"chance parts {sizes} so far in {max(chance, 0.0001):.2%} of all cases"
    return Change(
        figure=figure,
        unit=unit,
        now=values[0],
        before=values[1],
        samples_now=now.known(counted),
        samples_before=before.known(counted),
        change=_change(*values),
        is_more_than_noise=is_real,
        because=because,
        is_good_up=is_good_up,
    )


def _nothing(now: float | None, before: float | None) -> str:
    """Return why there is nothing to compare; empty if there is."""
    if now is None:
        return "there is nothing to compare"
    return "" if before is not None else "there is nothing to compare with"


def _change(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else now - before


def _known(values: Iterator[float | None]) -> Iterator[float]:
    return (value for value in values if value is not None)


def records(changes: Sequence[Change]) -> Records:
    """Return the changes as JSON has them."""
    return [
        {name: value for name, value in vars(change).items() if name != "is_good_up"}
        for change in changes
    ]
