"""Reports about executions, two of them, in the shapes that programs rely on.

Counts are executions, durations seconds, costs USD, memory MB, rates 0 to 1; instants are ISO 8601
in UTC. A rate or a mean of nothing is null.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from dbmon_pipeline.core.common.rows import Records, number
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.core.query.reader import Reader

_P95_MEMORY = "SELECT p95 FROM percentiles_between($since, $until, 'peak_memory_mb', NULL)"


@dataclass(frozen=True, kw_only=True)
class _Report:
    """Header of every report."""

    time_range: TimeRange
    window_start: str
    window_end: str
    data_through: str | None
    samples: int


@dataclass(frozen=True, kw_only=True)
class KeyFigures:
    """Key figures of all executions of a range."""

    executions: int
    successes: int
    success_rate: float | None
    errors: int
    error_rate: float | None
    avg_duration_seconds: float | None
    avg_quality: float | None
    total_cost: float | None
    avg_cost: float | None
    avg_savings: float | None
    avg_memory_mb: float | None


@dataclass(frozen=True, kw_only=True)
class ExecutionStatistics(_Report):
    """Statistics of executions. A point of the series is a day, or an hour up to 24 h."""

    time_series: Records
    by_model_tier: Records
    by_pool_type: Records
    top_repositories: Records
    by_task_type: Records
    performance: KeyFigures


@dataclass(frozen=True, kw_only=True)
class Duration:
    """Durations of executions; percentiles within 1 %."""

    avg_seconds: float | None
    p50_seconds: float | None
    p95_seconds: float | None
    p99_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Costs of executions; savings are estimate minus actual, where both are known."""

    total_cost: float | None
    avg_cost: float | None
    avg_savings: float | None


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Memory use of executions; the percentile within 1 %."""

    avg_memory_mb: float | None
    p95_memory_mb: float | None


@dataclass(frozen=True, kw_only=True)
class PerformanceMetrics(_Report):
    """Performance metrics: the durations, the costs and the resources of work."""

    duration: Duration
    cost: Cost
    resources: Resources
    by_model_tier: Records


def execution_statistics(reader: Reader, time_range: TimeRange) -> ExecutionStatistics:
    """Report the volume and the success of executions, by dimension and over time.

    Raises:
        NotPublishedError: A published file is damaged or gone.
        SourceError: The database cannot be read.
    """
    figures = reader.ask("key_figures", time_range)
    series = "executions_per_hour" if time_range.is_to_the_second else "executions_per_day"

    def asked(name: str) -> Records:
        return reader.ask(name, time_range).records

    return ExecutionStatistics(
        time_range=time_range,
        time_series=asked(series),
        by_model_tier=asked("success_rate_by_model_tier"),
        by_pool_type=asked("success_rate_by_pool_type"),
        top_repositories=asked("top_repositories"),
        by_task_type=asked("task_type_distribution"),
        performance=msgspec.convert(figures.records[0], KeyFigures),
        **figures.about,
    )


def performance_metrics(reader: Reader, time_range: TimeRange) -> PerformanceMetrics:
    """Report how long work takes, what it costs and what it uses.

    Raises:
        NotPublishedError: A published file is damaged or gone.
        SourceError: The database cannot be read.
    """
    figures = reader.ask("key_figures", time_range)
    totals = figures.records[0]
    window = reader.window(time_range)
    memory = reader.run(_P95_MEMORY, window, {"since": window.start, "until": window.end})
    percentiles = reader.ask("duration_percentiles", time_range).records[0]
    return PerformanceMetrics(
        time_range=time_range,
        duration=msgspec.convert(percentiles, Duration),
        cost=msgspec.convert(totals, Cost),
        resources=Resources(
            avg_memory_mb=number(totals["avg_memory_mb"]),
            p95_memory_mb=number(memory.rows[0][0]) if memory.rows else None,
        ),
        by_model_tier=reader.ask("duration_by_model_tier", time_range).records,
        **figures.about,
    )
