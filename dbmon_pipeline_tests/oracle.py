"""The oracle: every summary table computed again in plain Python, row by row, to compare with.

It shares nothing with the product but the names of the columns.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

Row = dict[str, Any]

SLIM_COLUMNS = (
    *("task_id", "timestamp", "task_type", "repo", "file_count", "estimated_tokens"),
    *("model_tier", "pool_type", "swarm_topology", "routing_confidence", "complexity_score"),
    *("success", "duration_seconds", "quality_score", "cost_estimate", "actual_cost"),
    *("error_type", "error_message", "user_accepted", "user_rating", "peak_memory_mb"),
    *("cpu_time_seconds", "solution_summary"),
)
DIMENSIONS = ("repo", "task_type", "model_tier", "pool_type")


def expected_tables(executions: Iterable[Row], as_of: datetime) -> dict[str, list[Row]]:
    """Every published table, from the executions before ``as_of``.

    Args:
        executions: Rows with at least the columns of the slim row; dimensions may be None.
        as_of: Naive UTC.
    """
    rows = [_clean(row) for row in executions if row["timestamp"] < as_of]
    failed = [row for row in rows if row["error_type"] is not None]
    scored = [row for row in rows if row["complexity_score"] is not None]
    midnight = as_of.replace(hour=0, minute=0, second=0, microsecond=0)
    first_patterns = midnight - timedelta(days=91)
    return {
        "hour_ledger": _grouped(rows, (_hour,), _counts),
        "hourly_summary": _grouped(rows, (_hour, *DIMENSIONS), _measures),
        "hourly_totals": _grouped(rows, (_hour, "model_tier", "pool_type"), _measures),
        "daily_summary": _grouped(rows, (_date, *DIMENSIONS), _measures),
        "hourly_distribution": _distribution(rows, _hour),
        "daily_distribution": _distribution(rows, _date),
        "tier_performance": _grouped(rows, (_date, "repo", "model_tier", "task_type"), _tier),
        "pool_performance": _grouped(rows, (_hour, "pool_type", "repo"), _pool),
        "error_summary": _grouped(failed, (_hour, "error_type", *DIMENSIONS), _errors),
        "daily_error_summary": _grouped(failed, (_date, "error_type", *DIMENSIONS), _errors),
        "hourly_complexity": _grouped(
            scored, (_hour, "repo", "model_tier", _complexity), _complexity_measures
        ),
        "daily_complexity": _grouped(
            scored, (_date, "repo", "model_tier", _complexity), _complexity_measures
        ),
        "daily_patterns": _grouped(
            [
                row | {"pattern_key": pattern_key(row["solution_summary"])}
                for row in rows
                if row["solution_summary"] is not None and row["timestamp"] >= first_patterns
            ],
            (_date, "repo", "pattern_key"),
            _pattern_day,
        ),
        "solution_patterns": [
            pattern
            for pattern in _grouped(
                [
                    row
                    for row in rows
                    if row["solution_summary"] is not None
                    and row["timestamp"] >= midnight - timedelta(days=90)
                ],
                ("solution_summary", "repo"),
                _pattern,
            )
            if pattern["usage_count"] >= 5
        ],
        "recent_executions": [
            {name: row[name] for name in SLIM_COLUMNS}
            for row in rows
            if row["timestamp"] >= midnight - timedelta(days=2)
        ],
    }


def assert_same_rows(actual: list[Row], expected: list[Row], *, where: str) -> None:
    """Compare two tables as bags of rows; floats to 1e-9.

    Raises:
        AssertionError: They differ; the message shows the first difference.
    """
    assert len(actual) == len(expected), f"{where}: {len(actual)} rows, expected {len(expected)}"
    for have, want in zip(sorted(actual, key=_order), sorted(expected, key=_order), strict=True):
        assert have.keys() == want.keys(), where
        for name, value in want.items():
            assert _same(have[name], value), (
                f"{where}.{name}: {have[name]!r} != {value!r} in {want}"
            )


def pattern_key(text: str) -> int:
    """The last 64 bits of a text's md5, as a signed number."""
    return int.from_bytes(hashlib.md5(text.encode()).digest()[8:], "little") - 2**63  # noqa: S324


def percentile(values: list[float], fraction: float) -> float | None:
    """The percentile with linear interpolation, None of nothing."""
    if not values:
        return None
    ordered, place = sorted(values), fraction * (len(values) - 1)
    below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
    return float(below + (above - below) * (place % 1))


def _same(have: object, want: object) -> bool:
    if isinstance(want, float) and isinstance(have, float | int):
        return math.isclose(have, want, rel_tol=1e-9, abs_tol=1e-9)
    return have == want


def _order(row: Row) -> list[str]:
    return [str(value) for value in row.values() if not isinstance(value, float)]


def _clean(row: Row) -> Row:
    clean = {name: row.get(name) for name in SLIM_COLUMNS}
    for name, value in clean.items():
        if isinstance(value, float) and not math.isfinite(value):
            clean[name] = None
        if name in DIMENSIONS and value is None:
            clean[name] = "unknown"
    return clean


def _hour(row: Row) -> tuple[str, object]:
    return "hour", row["timestamp"].replace(minute=0, second=0, microsecond=0)


def _date(row: Row) -> tuple[str, object]:
    return "date", row["timestamp"].date()


def _complexity(row: Row) -> tuple[str, object]:
    score = row["complexity_score"]
    if score < 0:
        return "complexity", -1
    return "complexity", score if score <= 100 else 101


def _grouped(
    rows: list[Row],
    key: tuple[str | Callable[[Row], tuple[str, object]], ...],
    aggregate: Callable[[list[Row]], Row],
) -> list[Row]:
    groups: dict[tuple[tuple[str, object], ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple((k, row[k]) if isinstance(k, str) else k(row) for k in key)].append(row)
    return [dict(names) | aggregate(members) for names, members in groups.items()]


def _known(rows: list[Row], name: str) -> list[Any]:
    return [row[name] for row in rows if row[name] is not None]


def _sum(values: list[Any]) -> Any:
    return (math.fsum(values) if isinstance(values[0], float) else sum(values)) if values else None


def _mean(values: list[Any]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _measures(rows: list[Row]) -> Row:
    durations, quality = _known(rows, "duration_seconds"), _known(rows, "quality_score")
    both = [
        row for row in rows if row["cost_estimate"] is not None and row["actual_cost"] is not None
    ]
    measures = {
        "executions": len(rows),
        "successes": sum(row["success"] is True for row in rows),
        "errors": len(_known(rows, "error_type")),
        "duration_count": len(durations),
        "duration_sum": _sum(durations),
        "duration_min": min(durations, default=None),
        "duration_max": max(durations, default=None),
        "quality_count": len(quality),
        "quality_sum": _sum(quality),
        "excellent_count": sum(q >= 90 for q in quality),
        "good_count": sum(75 <= q < 90 for q in quality),
        "fair_count": sum(60 <= q < 75 for q in quality),
        "poor_count": sum(q < 60 for q in quality),
        "both_costs_count": len(both),
        "both_costs_estimate_sum": _sum([row["cost_estimate"] for row in both]),
        "both_costs_actual_sum": _sum([row["actual_cost"] for row in both]),
        "feedback_count": len(_known(rows, "user_accepted")),
        "accepted_count": sum(row["user_accepted"] is True for row in rows),
    }
    for short, name in (
        ("cost_estimate", "cost_estimate"),
        ("actual_cost", "actual_cost"),
        ("rating", "user_rating"),
        ("memory", "peak_memory_mb"),
        ("cpu", "cpu_time_seconds"),
        ("tokens", "estimated_tokens"),
        ("files", "file_count"),
        ("complexity", "complexity_score"),
        ("confidence", "routing_confidence"),
    ):
        measures[f"{short}_count"] = len(_known(rows, name))
        measures[f"{short}_sum"] = _sum(_known(rows, name))
    return measures


def _distribution(rows: list[Row], period: Callable[[Row], tuple[str, object]]) -> list[Row]:
    counts: dict[tuple[tuple[str, object], ...], int] = defaultdict(int)
    for row in rows:
        for metric in ("duration_seconds", "peak_memory_mb"):
            value = row[metric]
            if value is None:
                continue
            bucket = math.ceil(math.log(value) / math.log(1.01 / 0.99)) if value > 0 else -100_000
            counts[
                (
                    period(row),
                    ("model_tier", row["model_tier"]),
                    ("pool_type", row["pool_type"]),
                    ("metric", metric),
                    ("bucket", bucket),
                )
            ] += 1
    return [dict(key) | {"n": n} for key, n in counts.items()]


def _tier(rows: list[Row]) -> Row:
    durations, costs = _known(rows, "duration_seconds"), _known(rows, "actual_cost")
    successes = sum(row["success"] is True for row in rows)
    return {
        "total_executions": len(rows),
        "successful_count": successes,
        "success_rate": successes / len(rows),
        "avg_duration_seconds": _mean(durations),
        "p50_duration_seconds": percentile(durations, 0.5),
        "p95_duration_seconds": percentile(durations, 0.95),
        "p99_duration_seconds": percentile(durations, 0.99),
        "avg_cost": _mean(costs),
        "total_cost": _sum(costs),
        "avg_quality": _mean(_known(rows, "quality_score")),
    }


def _pool(rows: list[Row]) -> Row:
    durations = _known(rows, "duration_seconds")
    successes = sum(row["success"] is True for row in rows)
    return {
        "total_tasks": len(rows),
        "successful_tasks": successes,
        "success_rate": successes / len(rows),
        "avg_duration_seconds": _mean(durations),
        "p95_duration_seconds": percentile(durations, 0.95),
        "avg_cost": _mean(_known(rows, "actual_cost")),
    }


def _errors(rows: list[Row]) -> Row:
    first = min(_known(rows, "error_message"), default=None)
    return {
        "occurrences": len(rows),
        "last_seen": max(row["timestamp"] for row in rows),
        "example_message": first[:500] if first is not None else None,
    }


def _complexity_measures(rows: list[Row]) -> Row:
    durations, costs = _known(rows, "duration_seconds"), _known(rows, "actual_cost")
    return {
        "executions": len(rows),
        "successes": sum(row["success"] is True for row in rows),
        "duration_count": len(durations),
        "duration_sum": _sum(durations),
        "actual_cost_count": len(costs),
        "actual_cost_sum": _sum(costs),
    }


def _counts(rows: list[Row]) -> Row:
    """What the ledger counts of an hour, but for its state and its duplicate ids."""
    known = {name: _known(rows, name) for name in SLIM_COLUMNS}
    durations, costs = known["duration_seconds"], known["actual_cost"]
    quality, ratings = known["quality_score"], known["user_rating"]
    return {
        "executions": len(rows),
        "successes": sum(row["success"] is True for row in rows),
        "errors": len(known["error_type"]),
        "duration_count": len(durations),
        "duration_sum": _sum(durations),
        "duration_abs_sum": _sum([abs(value) for value in durations]),
        "actual_cost_sum": _sum(costs),
        "actual_cost_abs_sum": _sum([abs(value) for value in costs]),
        "memory_count": len(known["peak_memory_mb"]),
        "complexity_count": len(known["complexity_score"]),
        "patterns_count": len(known["solution_summary"]),
        "quality_out_of_range": sum(not 0 <= value <= 100 for value in quality),
        "rating_out_of_range": sum(not 1 <= value <= 5 for value in ratings),
        "negative_durations": sum(value < 0 for value in durations),
        "negative_costs": sum(
            (row["cost_estimate"] or 0) < 0 or (row["actual_cost"] or 0) < 0 for row in rows
        ),
        "successes_with_error_type": sum(
            row["success"] is True and row["error_type"] is not None for row in rows
        ),
        "failures_without_error_type": sum(
            row["success"] is False and row["error_type"] is None for row in rows
        ),
        "unknown_success": sum(row["success"] is None for row in rows),
        "missing_task_ids": sum(row["task_id"] is None for row in rows),
    }


def _pattern_day(rows: list[Row]) -> Row:
    quality = _known(rows, "quality_score")
    first = min(row["timestamp"] for row in rows)
    last = max(row["timestamp"] for row in rows)
    return {
        "usage_count": len(rows),
        "success_count": sum(row["success"] is True for row in rows),
        "quality_count": len(quality),
        "quality_sum": _sum(quality),
        "first_seen": first,
        "last_seen": last if last != first else None,
    }


def _pattern(rows: list[Row]) -> Row:
    successes = sum(row["success"] is True for row in rows)
    return {
        "usage_count": len(rows),
        "success_count": successes,
        "success_rate": successes / len(rows),
        "avg_quality": _mean(_known(rows, "quality_score")),
        "first_seen": min(row["timestamp"] for row in rows),
        "last_seen": max(row["timestamp"] for row in rows),
    }
