"""Status of a database, in the shape that programs rely on.

Counts are executions, durations seconds, costs USD, memory MB, rates 0 to 1; instants are ISO 8601
in UTC. A rate or a mean of nothing is null.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal

from dbmon_pipeline.core.alerting.evaluate import evaluate
from dbmon_pipeline.core.alerting.verdicts import Alert, Verdict
from dbmon_pipeline.core.common.errors import SourceError
from dbmon_pipeline.core.common.instants import iso
from dbmon_pipeline.core.common.rows import number
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.core.query.reader import Reader
from dbmon_pipeline.core.source.file_check import printable
from dbmon_pipeline.core.source.health import SourceHealth, source_health


class Level(StrEnum):
    """Level of a status."""

    OK = "OK"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


@dataclass(frozen=True, kw_only=True)
class Database:
    """Source database, with its size and the way it is read.

    Attributes:
        path: The file.
        size_mb: Its size in MB; None if it is not there.
        schema_version: What it says of itself.
        writer: The process that holds it open for writing, which is normal.
        read_as: How the figures were read: ``live``, ``attached``, ``files`` or ``address``; None
            if they were not.
    """

    path: str
    size_mb: float | None
    schema_version: int | None
    writer: str | None
    read_as: str | None


@dataclass(frozen=True, kw_only=True)
class ExecutionCounts:
    """Counts of executions: in all, and in the last hour, day and week."""

    total: int
    recent_1h: int
    daily: int
    weekly: int


@dataclass(frozen=True, kw_only=True)
class DailyPerformance:
    """Performance of the executions of the last day."""

    daily_success_rate: float | None
    avg_duration_seconds: float | None
    avg_quality_score: float | None


@dataclass(frozen=True, kw_only=True)
class JudgedRule:
    """Verdict of a rule on a value; ``raw_`` marks the plain comparison."""

    rule: str
    measurement: str
    scope: str
    verdict: Verdict
    value: float | None
    samples: int
    warning: float | None
    critical: float | None
    direction: Literal["below", "above"]
    mode: Literal["confident", "raw"]
    raw_verdict: Verdict
    raw_value: float | None
    raw_samples: int
    window_start: str | None
    window_end: str | None
    note: str


@dataclass(frozen=True, kw_only=True)
class DatabaseStatus:
    """Health of a database, as of ``timestamp``; the window is the last day.

    Of a database that cannot be read there are no figures.
    """

    status: Level
    timestamp: str
    database: Database
    executions: ExecutionCounts | None
    performance: DailyPerformance | None
    warnings: list[str]
    errors: list[str]
    window_start: str | None
    window_end: str | None
    data_through: str | None
    published_at: str | None
    alerts: list[JudgedRule]


def database_status(
    reader: Reader, config: MonitoringConfig, *, refreshed_by: str = "run dbmon refresh"
) -> DatabaseStatus:
    """Report the health of the database that a reader reads.

    Args:
        reader: Of published data, or of a database.
        config: The rules.
        refreshed_by: What to do when the figures are old.

    Raises:
        NotPublishedError: A published file is damaged or gone.
        SourceError: The database cannot be read.
    """
    about = reader.about
    day = reader.ask("key_figures", TimeRange.DAY)
    figures = day.records[0]
    alerts = evaluate(reader, config)
    health = source_health(about.path) if about.published_at else SourceHealth()
    errors = [str(health.error)] if health.error else []
    errors += [alert.sentence for alert in alerts if alert.verdict is Verdict.CRITICAL]
    warnings = [] if about.executions else ["No execution records found"]
    warnings += [
        f"{alert.sentence}; {refreshed_by}" if alert.rule == "source_freshness" else alert.sentence
        for alert in alerts
        if alert.verdict is Verdict.WARNING
    ]
    return DatabaseStatus(
        status=_level(health, alerts, warnings),
        timestamp=iso(about.as_of),
        database=Database(
            path=str(about.path),
            size_mb=round(about.source_bytes / 1e6, 2),
            schema_version=about.schema_version,
            writer=health.writer,
            read_as=about.read_as,
        ),
        executions=ExecutionCounts(
            total=about.executions,
            recent_1h=reader.samples(TimeRange.HOUR),
            daily=day.samples,
            weekly=reader.samples(TimeRange.WEEK),
        ),
        performance=DailyPerformance(
            daily_success_rate=number(figures["success_rate"]),
            avg_duration_seconds=number(figures["avg_duration_seconds"]),
            avg_quality_score=number(figures["avg_quality"]),
        ),
        warnings=warnings,
        errors=errors,
        window_start=iso(day.window_start),
        window_end=iso(day.window_end),
        data_through=_iso(day.data_through),
        published_at=_iso(about.published_at),
        alerts=[_judged(alert) for alert in alerts],
    )


def unreadable_status(path: Path, as_of: datetime, error: SourceError) -> DatabaseStatus:
    """Make the status of a database that cannot be read."""
    return DatabaseStatus(
        status=Level.ERROR,
        timestamp=iso(as_of),
        database=Database(
            path=printable(path), size_mb=None, schema_version=None, writer=None, read_as=None
        ),
        executions=None,
        performance=None,
        warnings=[],
        errors=[str(error)],
        window_start=None,
        window_end=None,
        data_through=None,
        published_at=None,
        alerts=[],
    )


def _level(health: SourceHealth, alerts: list[Alert], warnings: list[str]) -> Level:
    if any(alert.verdict is Verdict.CRITICAL for alert in alerts):
        return Level.CRITICAL
    if health.problem:
        return Level.ERROR
    return Level.WARNING if warnings else Level.OK


def _judged(alert: Alert) -> JudgedRule:
    return JudgedRule(
        rule=alert.rule,
        measurement=alert.measurement,
        scope=alert.scope,
        verdict=alert.verdict,
        value=alert.measured.value,
        samples=alert.measured.samples,
        warning=alert.warning,
        critical=alert.critical,
        direction=alert.direction,
        mode=alert.mode,
        raw_verdict=alert.raw_verdict,
        raw_value=alert.raw.value,
        raw_samples=alert.raw.samples,
        window_start=_iso(alert.measured.window_start),
        window_end=_iso(alert.measured.window_end),
        note=alert.note,
    )


def _iso(instant: datetime | None) -> str | None:
    return iso(instant) if instant else None
