"""Made-up executions, and every question about executions answered again in plain Python.

It shares nothing with the product but the names of the columns: no macro, no summary table.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

Row = dict[str, Any]
"""One execution, by column."""

_TICK = timedelta(microseconds=1)

DIMENSIONS = ("model_tier", "pool_type", "repo", "task_type")


class Estimate(float):
    """A number that an answer may miss by one percent."""


class Span:
    """The window ``[since, until)`` of a question, and all of its executions."""

    def __init__(self, rows: list[Row], since: datetime, until: datetime) -> None:
        """Keep what belongs to the window."""
        self.rows = [row for row in rows if since <= row["timestamp"] < until]
        self.since = since
        self.until = until

    def time(self, row: Row) -> datetime:
        """Where an execution stands in a chart: at its hour, or in a long range at its day."""
        is_short = self.until - self.since <= timedelta(hours=48)
        return _hour(row) if is_short else _hour(row).replace(hour=0)


Answering = Callable[[Span], list[tuple[object, ...]]]
BRUTE_FORCE: dict[str, Answering] = {}
"""What answers a question, by its name: the rows in their order."""


def made_up(as_of: datetime, count: int, seed: int) -> list[Row]:
    """Executions of 100 days, half of them in the last two, and on both sides of every edge."""
    chance = random.Random(seed)  # noqa: S311

    def some(values: list[object], *, none: float) -> object:
        return None if chance.random() < none else chance.choice(values)

    busy_hours = [timedelta(hours=chance.randrange(2400)) for _ in range(30)]
    ages = [
        timedelta(seconds=chance.uniform(-7200, 3600 * 48))
        if n % 2
        else chance.choice(busy_hours) + timedelta(seconds=chance.uniform(0, 3600))
        for n in range(count)
    ]
    for hours in (0, 1, 24, 48, 7 * 24, 30 * 24, 90 * 24):
        start = as_of - timedelta(hours=hours)
        edges = (
            start,
            start.replace(minute=0, second=0),
            start.replace(hour=0, minute=0, second=0),
        )
        ages += [as_of - edge + tick for edge in edges for tick in (_TICK, timedelta(0), -_TICK)]
    repos: list[object] = ["a", "a", "a", "b", "b", "c", *(f"org/{n}" for n in range(12))]
    return [
        {
            "task_id": f"{chance.getrandbits(64):x}-{n}",
            "timestamp": as_of - age,
            "task_type": some(["fix", "fix", "test", "o'brien \N{SNOWMAN}"], none=0.05),
            "repo": some(repos, none=0.05),
            "model_tier": some(["small", "small", "large", "Large"], none=0.05),
            "pool_type": some(["main", "main", "burst"], none=0.1),
            "file_count": some([0, 1, 2, 17], none=0.3),
            "complexity_score": some([*range(-5, 151)], none=0.3),
            "success": some([True, True, False], none=0.05),
            "duration_seconds": some(
                [0.0, -3.5, math.nan, *(chance.lognormvariate(3, 2) for _ in range(20))], none=0.1
            ),
            "quality_score": some([*range(40, 101)], none=0.3),
            "cost_estimate": some([chance.uniform(0, 2)], none=0.4),
            "actual_cost": some([chance.uniform(0, 2), math.inf, 0.0], none=0.4),
            "error_type": some([f"Error{n * n // 12}" for n in range(13)], none=0.6),
            "error_message": some(["late", "x" * 600, "\N{SNOWMAN}" * 700], none=0.4),
            "user_accepted": some([True, True, False], none=0.5),
            "user_rating": some([1, 2, 3, 4, 5], none=0.5),
            "peak_memory_mb": some([0.0, chance.uniform(1, 9000)], none=0.4),
            "cpu_time_seconds": some([0.0, chance.uniform(0, 99)], none=0.4),
        }
        for n, age in enumerate(ages)
    ]


def is_same(have: object, want: object) -> bool:
    """Whether a value is the expected one, and of its type; a float to 1e-9."""
    if isinstance(want, float):
        precision = 0.01 + 1e-9 if isinstance(want, Estimate) else 1e-9
        return isinstance(have, float) and math.isclose(
            have, want, rel_tol=precision, abs_tol=1e-12
        )
    return type(have) is type(want) and have == want


def executions_in(path: Path) -> list[Row]:
    """The executions of a source: no dimension is empty, no number NaN or infinite."""
    with duckdb.connect(path, read_only=True) as con:
        found = con.execute("SELECT * EXCLUDE (embedding, metadata) FROM executions")
        names = [column[0] for column in found.description or ()]
        rows = [dict(zip(names, values, strict=True)) for values in found.fetchall()]
    for row in rows:
        for name, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                row[name] = None
        row.update({name: "unknown" for name in DIMENSIONS if row[name] is None})
    return rows


def filtered(rows: Iterable[Row], filters: dict[str, str]) -> list[Row]:
    """The executions whose columns have the values that are asked for."""
    return [row for row in rows if all(row[name] == value for name, value in filters.items())]


def _answers(answering: Answering) -> Answering:
    BRUTE_FORCE[answering.__name__] = answering
    return answering


def _hour(row: Row) -> datetime:
    timestamp = row["timestamp"]
    assert isinstance(timestamp, datetime)
    return timestamp.replace(minute=0, second=0, microsecond=0)


def _known(rows: list[Row], name: str) -> list[Any]:
    return [row[name] for row in rows if row[name] is not None]


def _sum(rows: list[Row], name: str) -> float | None:
    values = _known(rows, name)
    return math.fsum(values) if values else None


def _mean(rows: list[Row], name: str) -> float | None:
    values = _known(rows, name)
    return math.fsum(values) / len(values) if values else None


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _successes(rows: list[Row]) -> int:
    return sum(row["success"] is True for row in rows)


def _success_rate(rows: list[Row]) -> float | None:
    return _ratio(_successes(rows), len(rows))


def _error_rate(rows: list[Row]) -> float | None:
    return _ratio(len(_known(rows, "error_type")), len(rows))


def _with_both_costs(rows: list[Row]) -> list[Row]:
    return [r for r in rows if r["cost_estimate"] is not None and r["actual_cost"] is not None]


def _savings(rows: list[Row]) -> float | None:
    saved = [row["cost_estimate"] - row["actual_cost"] for row in _with_both_costs(rows)]
    return math.fsum(saved) / len(saved) if saved else None


def _percentile(rows: list[Row], name: str, percent: float) -> Estimate | None:
    """What is not positive stands for 0."""
    values = [max(value, 0.0) for value in _known(rows, name)]
    return Estimate(np.percentile(values, percent)) if values else None


def _percentiles(rows: list[Row]) -> tuple[Estimate | None, ...]:
    return tuple(_percentile(rows, "duration_seconds", percent) for percent in (50, 95, 99))


def _groups(rows: list[Row], *key: str | Callable[[Row], Any]) -> list[tuple[Any, list[Row]]]:
    """Rows by what they have in common, in ascending order of that."""
    groups: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        common = tuple(row[part] if isinstance(part, str) else part(row) for part in key)
        groups[common if len(common) > 1 else common[0]].append(row)
    return sorted(groups.items(), key=lambda group: group[0])


@_answers
def complexity_distribution(span: Span) -> list[tuple[object, ...]]:
    """Scores beyond 0 and 100 are two groups of their own."""
    scored = [row for row in span.rows if row["complexity_score"] is not None]
    return [
        (
            score,
            len(rows),
            len(rows) / len(scored),
            _success_rate(rows),
            _mean(rows, "duration_seconds"),
            _mean(rows, "actual_cost"),
        )
        for score, rows in _groups(scored, lambda row: min(max(row["complexity_score"], -1), 101))
    ]


@_answers
def cost_by_model_tier(span: Span) -> list[tuple[object, ...]]:
    """By tier, with a share of all costs."""
    return [
        (
            tier,
            len(rows),
            len(_known(rows, "actual_cost")),
            _sum(rows, "actual_cost"),
            _ratio(_sum(rows, "actual_cost"), _sum(span.rows, "actual_cost")),
            _mean(rows, "actual_cost"),
            _ratio(_sum(rows, "actual_cost"), _successes(rows)),
        )
        for tier, rows in _groups(span.rows, "model_tier")
    ]


@_answers
def cost_efficiency(span: Span) -> list[tuple[object, ...]]:
    """By tier, over the executions that have both costs."""
    return [
        (
            tier,
            len(rows),
            len(both := _with_both_costs(rows)),
            _sum(both, "cost_estimate"),
            _sum(both, "actual_cost"),
            _ratio(_sum(both, "actual_cost"), _sum(both, "cost_estimate")),
            _savings(rows),
        )
        for tier, rows in _groups(span.rows, "model_tier")
    ]


@_answers
def cost_over_time(span: Span) -> list[tuple[object, ...]]:
    """By hour or day."""
    return [
        (
            time,
            len(rows),
            len(_known(rows, "actual_cost")),
            _sum(rows, "actual_cost"),
            _mean(rows, "actual_cost"),
            _sum(rows, "cost_estimate"),
        )
        for time, rows in _groups(span.rows, span.time)
    ]


@_answers
def data_completeness(span: Span) -> list[tuple[object, ...]]:
    """By figure, all of them always."""
    figures = {
        "duration": "duration_seconds",
        "actual cost": "actual_cost",
        "cost estimate": "cost_estimate",
        "quality score": "quality_score",
        "complexity score": "complexity_score",
        "peak memory": "peak_memory_mb",
        "user feedback": "user_accepted",
    }
    size = len(span.rows)
    return [
        (figure, size, known := len(_known(span.rows, column)), _ratio(known, size))
        for figure, column in figures.items()
    ]


@_answers
def data_problems(span: Span) -> list[tuple[object, ...]]:
    """By problem, all of them always."""

    def beyond(name: str, low: float, high: float) -> Callable[[Row], bool]:
        return lambda row: row[name] is not None and not low <= row[name] <= high

    ids = _known(span.rows, "task_id")
    negative_cost = [beyond(name, 0, math.inf) for name in ("cost_estimate", "actual_cost")]
    found = {
        "task id used again": len(ids) - len(set(ids)),
        "success unknown": _count(span, lambda row: row["success"] is None),
        "success with an error type": _count(
            span, lambda row: row["success"] is True and row["error_type"] is not None
        ),
        "failure without an error type": _count(
            span, lambda row: row["success"] is False and row["error_type"] is None
        ),
        "quality score not in 0 to 100": _count(span, beyond("quality_score", 0, 100)),
        "user rating not in 1 to 5": _count(span, beyond("user_rating", 1, 5)),
        "negative duration": _count(span, beyond("duration_seconds", 0, math.inf)),
        "negative cost": _count(span, lambda row: any(is_so(row) for is_so in negative_cost)),
    }
    size = len(span.rows)
    return [(problem, size, count, _ratio(count, size)) for problem, count in found.items()]


def _count(span: Span, is_so: Callable[[Row], bool]) -> int:
    return sum(map(is_so, span.rows))


def _duration_by(span: Span, column: str) -> list[tuple[object, ...]]:
    return [
        (
            value,
            len(_known(rows, "duration_seconds")),
            _mean(rows, "duration_seconds"),
            *_percentiles(rows),
        )
        for value, rows in _groups(span.rows, column)
    ]


@_answers
def duration_by_model_tier(span: Span) -> list[tuple[object, ...]]:
    """By tier."""
    return _duration_by(span, "model_tier")


@_answers
def duration_by_pool_type(span: Span) -> list[tuple[object, ...]]:
    """By pool."""
    return _duration_by(span, "pool_type")


@_answers
def duration_percentiles(span: Span) -> list[tuple[object, ...]]:
    """All in one row, which there always is."""
    durations = _known(span.rows, "duration_seconds")
    return [
        (
            len(durations),
            _mean(span.rows, "duration_seconds"),
            min(durations, default=None),
            *_percentiles(span.rows),
            max(durations, default=None),
        )
    ]


@_answers
def error_rate_over_time(span: Span) -> list[tuple[object, ...]]:
    """By hour or day."""
    return [
        (time, len(rows), len(_known(rows, "error_type")), _error_rate(rows))
        for time, rows in _groups(span.rows, span.time)
    ]


@_answers
def errors_by_model_tier(span: Span) -> list[tuple[object, ...]]:
    """By tier and error type, the most frequent of a tier first."""
    return [
        (tier, error, count, len(rows), count / len(rows))
        for tier, rows in _groups(span.rows, "model_tier")
        for error, count in sorted(
            Counter(_known(rows, "error_type")).items(), key=lambda item: (-item[1], item[0])
        )
    ]


@_answers
def executions_per_day(span: Span) -> list[tuple[object, ...]]:
    """By day, however short the range is."""
    return [
        (
            date,
            len(rows),
            _successes(rows),
            _success_rate(rows),
            _mean(rows, "duration_seconds"),
            _mean(rows, "quality_score"),
        )
        for date, rows in _groups(span.rows, lambda row: row["timestamp"].date())
    ]


@_answers
def executions_per_hour(span: Span) -> list[tuple[object, ...]]:
    """By hour, however long the range is."""
    return [
        (hour, len(rows), _successes(rows), _success_rate(rows))
        for hour, rows in _groups(span.rows, _hour)
    ]


@_answers
def hourly_measures(span: Span) -> list[tuple[object, ...]]:
    """By hour, in counts and sums."""
    return [
        (
            hour,
            len(rows),
            _successes(rows),
            len(_known(rows, "error_type")),
            len(_known(rows, "duration_seconds")),
            _sum(rows, "duration_seconds"),
            len(scores := _known(rows, "quality_score")),
            sum(scores) if scores else None,
            len(_known(rows, "actual_cost")),
            _sum(rows, "actual_cost"),
        )
        for hour, rows in _groups(span.rows, _hour)
    ]


@_answers
def hourly_overview(span: Span) -> list[tuple[object, ...]]:
    """By hour, however long the range is."""
    return [
        (
            hour,
            len(rows),
            _success_rate(rows),
            _error_rate(rows),
            _mean(rows, "duration_seconds"),
            _mean(rows, "quality_score"),
            _sum(rows, "actual_cost"),
        )
        for hour, rows in _groups(span.rows, _hour)
    ]


@_answers
def key_figures(span: Span) -> list[tuple[object, ...]]:
    """All in one row, which there always is."""
    rows = span.rows
    return [
        (
            len(rows),
            _successes(rows),
            _success_rate(rows),
            len(_known(rows, "error_type")),
            _error_rate(rows),
            _mean(rows, "duration_seconds"),
            _mean(rows, "quality_score"),
            _sum(rows, "actual_cost"),
            _mean(rows, "actual_cost"),
            _savings(rows),
            _mean(rows, "peak_memory_mb"),
        )
    ]


@_answers
def pool_performance_over_time(span: Span) -> list[tuple[object, ...]]:
    """By hour or day, and by pool."""
    return [
        (
            time,
            pool,
            len(rows),
            _successes(rows),
            _success_rate(rows),
            _mean(rows, "duration_seconds"),
            _mean(rows, "actual_cost"),
        )
        for (time, pool), rows in _groups(span.rows, span.time, "pool_type")
    ]


@_answers
def pool_utilization(span: Span) -> list[tuple[object, ...]]:
    """By pool, against the length of the window."""
    return [
        (
            pool,
            len(rows),
            len(rows) / len(span.rows),
            _sum(rows, "duration_seconds"),
            _ratio(_sum(rows, "duration_seconds"), (span.until - span.since).total_seconds()),
            _success_rate(rows),
            _mean(rows, "duration_seconds"),
            _mean(rows, "peak_memory_mb"),
            _mean(rows, "cpu_time_seconds"),
            _sum(rows, "actual_cost"),
        )
        for pool, rows in _groups(span.rows, "pool_type")
    ]


@_answers
def quality_by_model_tier(span: Span) -> list[tuple[object, ...]]:
    """By tier, with the shares of the best and the worst band."""
    return [
        (
            tier,
            len(rows),
            len(scores := _known(rows, "quality_score")),
            _mean(rows, "quality_score"),
            _ratio(sum(score >= 90 for score in scores), len(scores)),
            _ratio(sum(score < 60 for score in scores), len(scores)),
        )
        for tier, rows in _groups(span.rows, "model_tier")
    ]


@_answers
def quality_distribution(span: Span) -> list[tuple[object, ...]]:
    """The four bands, which are always there."""
    scores = _known(span.rows, "quality_score")
    counts = Counter(next((band for band in (90, 75, 60) if score >= band), 0) for score in scores)
    return [
        (name, lowest, counts[lowest], _ratio(counts[lowest], len(scores)))
        for name, lowest in (("excellent", 90), ("good", 75), ("fair", 60), ("poor", 0))
    ]


@_answers
def recent_executions(span: Span) -> list[tuple[object, ...]]:
    """The newest hundred."""
    columns = (
        *("timestamp", "task_id", "repo", "task_type", "model_tier", "pool_type", "success"),
        *("duration_seconds", "quality_score", "actual_cost", "error_type", "error_message"),
    )
    by_id = sorted(span.rows, key=lambda row: str(row["task_id"]))
    newest = sorted(by_id, key=lambda row: row["timestamp"], reverse=True)[:100]
    return [tuple(row[name] for name in columns) for row in newest]


@_answers
def repository_activity(span: Span) -> list[tuple[object, ...]]:
    """By repository, the busiest first."""
    return [
        (
            repo,
            len(rows),
            len(days := {row["timestamp"].date() for row in rows}),
            min(days),
            max(days),
            len({row["task_type"] for row in rows}),
            _success_rate(rows),
            _sum(rows, "actual_cost"),
            _mean(rows, "file_count"),
            _mean(rows, "complexity_score"),
        )
        for repo, rows in _largest_first(span.rows, "repo")
    ]


def _largest_first(rows: list[Row], column: str) -> list[tuple[str, list[Row]]]:
    return sorted(_groups(rows, column), key=lambda group: -len(group[1]))


@_answers
def resource_usage(span: Span) -> list[tuple[object, ...]]:
    """By pool."""
    return [
        (
            pool,
            len(_known(rows, "peak_memory_mb")),
            _mean(rows, "peak_memory_mb"),
            _percentile(rows, "peak_memory_mb", 95),
            _mean(rows, "cpu_time_seconds"),
        )
        for pool, rows in _groups(span.rows, "pool_type")
    ]


def _success_by(span: Span, column: str) -> list[tuple[object, ...]]:
    return [
        (
            value,
            len(rows),
            _successes(rows),
            _success_rate(rows),
            _mean(rows, "duration_seconds"),
            _mean(rows, "actual_cost"),
            _mean(rows, "quality_score"),
        )
        for value, rows in _groups(span.rows, column)
    ]


@_answers
def success_rate_by_model_tier(span: Span) -> list[tuple[object, ...]]:
    """By tier."""
    return _success_by(span, "model_tier")


@_answers
def success_rate_by_pool_type(span: Span) -> list[tuple[object, ...]]:
    """By pool."""
    return _success_by(span, "pool_type")


@_answers
def success_rate_by_repository(span: Span) -> list[tuple[object, ...]]:
    """By repository, the worst first, and the larger one of two that are as bad."""
    found = [
        (repo, len(rows), _successes(rows), _successes(rows) / len(rows))
        for repo, rows in _groups(span.rows, "repo")
    ]
    return [*sorted(found, key=lambda row: (row[3], -row[1], row[0]))]


@_answers
def success_rate_over_time(span: Span) -> list[tuple[object, ...]]:
    """By hour or day."""
    return [
        (time, len(rows), _successes(rows), _success_rate(rows))
        for time, rows in _groups(span.rows, span.time)
    ]


@_answers
def task_type_by_model_tier(span: Span) -> list[tuple[object, ...]]:
    """By task type and tier, with a share of the task type."""
    of_task_type = Counter(row["task_type"] for row in span.rows)
    return [
        (
            task_type,
            tier,
            len(rows),
            len(rows) / of_task_type[task_type],
            _success_rate(rows),
            _mean(rows, "duration_seconds"),
            _mean(rows, "actual_cost"),
        )
        for (task_type, tier), rows in _groups(span.rows, "task_type", "model_tier")
    ]


def _share_of(span: Span, column: str) -> list[tuple[object, ...]]:
    return [
        (
            value,
            len(rows),
            len(rows) / len(span.rows),
            _successes(rows),
            _success_rate(rows),
            _mean(rows, "duration_seconds"),
            _sum(rows, "actual_cost"),
        )
        for value, rows in _largest_first(span.rows, column)
    ]


@_answers
def task_type_distribution(span: Span) -> list[tuple[object, ...]]:
    """By task type, the most frequent first."""
    return _share_of(span, "task_type")


@_answers
def top_error_types(span: Span) -> list[tuple[object, ...]]:
    """The ten that occurred most; shares are of all errors."""
    failed = [row for row in span.rows if row["error_type"] is not None]
    return [
        (
            error,
            len(rows),
            len(rows) / len(failed),
            len({row["repo"] for row in rows}),
            max(row["timestamp"] for row in rows),
            min((text[:500] for text in _known(rows, "error_message")), default=None),
        )
        for error, rows in _largest_first(failed, "error_type")[:10]
    ]


@_answers
def top_repositories(span: Span) -> list[tuple[object, ...]]:
    """The ten with the most executions; shares are of all executions."""
    return _share_of(span, "repo")[:10]


@_answers
def user_feedback(span: Span) -> list[tuple[object, ...]]:
    """By tier, over what users judged."""
    return [
        (
            tier,
            len(rows),
            len(judged := _known(rows, "user_accepted")),
            sum(judged),
            _ratio(sum(judged), len(judged)),
            len(_known(rows, "user_rating")),
            _mean(rows, "user_rating"),
        )
        for tier, rows in _groups(span.rows, "model_tier")
    ]
