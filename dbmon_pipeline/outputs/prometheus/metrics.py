"""Metrics: what is published, as gauges.

The verdicts are those of the asset checks, read from ``check_history`` and not judged again, so
that Prometheus cannot disagree with Dagster. Names that the data chooses are bounded in number: the
worst scopes of a rule, the busiest tiers and pools. How many were left out is told, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Literal

from dbmon_pipeline.core.alerting.check_history import RecordedVerdict, published_since
from dbmon_pipeline.core.common.errors import IncidentError
from dbmon_pipeline.core.common.instants import parse_instant
from dbmon_pipeline.core.common.rows import number
from dbmon_pipeline.core.config.rule import Severity
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.incidents.incident import IncidentState
from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline.core.query.open_reader import reading
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.core.query.reader import Reader
from dbmon_pipeline.core.schema.catalogue import REFRESH_HISTORY
from dbmon_pipeline.core.status.status import DatabaseStatus, JudgedRule, Level
from dbmon_pipeline.outputs.prometheus.gauges import Gauges

MOST = 50
"""Most scopes of a rule, or values of a dimension, that get series."""

_PERCENTILES = ("50", "95", "99")
_FIGURES = {
    "executions": ("recent_executions", "Executions of a range."),
    "success_rate": ("success_ratio", "Which part of the executions of a range succeeded."),
    "avg_duration_seconds": ("average_duration_seconds", "The average duration."),
    "avg_quality": ("average_quality", "The average quality score, 0 to 100."),
    "total_cost": ("cost_usd", "What the executions of a range cost, as far as that is known."),
    "avg_cost": ("average_cost_usd", "The average cost of an execution of which it is known."),
}
"""Metrics, and what they are, by the columns of questions."""
_COSTS = {"model_tier": "cost_by_model_tier", "pool_type": "pool_utilization"}
"""The question with the total cost of each value of a dimension."""

_REFRESH = (
    ("readings", "How many readings of the source were begun.", "readings"),
    (
        "readings_thrown_away",
        "How many of them did not count, since the source changed meanwhile.",
        "readings_thrown_away",
    ),
    ("read_bytes", "How much was read from the source live.", "bytes_read"),
    ("rows_read", "How many rows were read.", "rows_read"),
    ("late_rows", "How many of them came late.", "late_rows"),
    (
        "unrepairable",
        "How many hours changed of which the source has lost a part.",
        "unrepairable_hours",
    ),
)
"""Metrics of the latest refresh: name, what it is, and column of its history."""


def published_metrics(settings: Settings) -> str:
    """Read what is published now, in the text format.

    The figures speak for the instant of the generation: looks at the same one are alike.

    Raises:
        NotPublishedError: Nothing is published, or a file of it is damaged or gone.
    """
    gauges = Gauges()
    _add_up(gauges, is_up=True)
    with Published(settings.home) as published:
        manifest = published.manifest
        versions = manifest.versions
        gauges.add("build_info", "The versions that published the generation.", 1, **versions)
        gauges.add("generation", "The number of the published generation.", manifest.generation)
        _add_instants(gauges, manifest.as_of, manifest.data_through, manifest.published_at)
        _add_totals(gauges, manifest.source.size_bytes, manifest.executions)
        _add_refresh(gauges, published)
        with reading(published, manifest.as_of) as reader:
            for time_range in (TimeRange.HOUR, TimeRange.DAY, TimeRange.WEEK):
                figures = {
                    **reader.ask("duration_percentiles", time_range).records[0],
                    **reader.ask("key_figures", time_range).records[0],
                }
                _add_figures(gauges, figures, range=time_range)
            _add_dimension(gauges, reader, "model_tier")
            _add_dimension(gauges, reader, "pool_type")
        _add_rules(gauges, published_since(published, manifest.as_of - timedelta.resolution))
    _add_incidents(gauges, settings)
    return gauges.text()


def no_metrics(reason: str) -> str:
    """Render the metrics for the case that nothing can be read.

    Args:
        reason: Why, on one line; it becomes a comment.
    """
    gauges = Gauges()
    _add_up(gauges, is_up=False)
    return f"# Reason: {reason}\n{gauges.text()}"


def status_metrics(status: DatabaseStatus) -> str:
    """Render a status in the text format; there is no series of what is not known."""
    gauges = Gauges()
    _add_up(gauges, is_up=status.executions is not None)
    for level in Level:
        gauges.add("status", "1 for the present level.", level is status.status, level=level)
    instants = (status.timestamp, status.data_through, status.published_at)
    _add_instants(gauges, *(parse_instant(text) if text else None for text in instants))
    counts, performance = status.executions, status.performance
    size = status.database.size_mb
    _add_totals(gauges, None if size is None else size * 1e6, counts.total if counts else None)
    if counts and performance:
        _add_figures(gauges, {"executions": counts.recent_1h}, range=TimeRange.HOUR)
        day = {
            "executions": counts.daily,
            "success_rate": performance.daily_success_rate,
            "avg_duration_seconds": performance.avg_duration_seconds,
            "avg_quality": performance.avg_quality_score,
        }
        _add_figures(gauges, day, range=TimeRange.DAY)
        _add_figures(gauges, {"executions": counts.weekly}, range=TimeRange.WEEK)
    _add_rules(gauges, status.alerts)
    return gauges.text()


def _add_up(gauges: Gauges, *, is_up: bool) -> None:
    gauges.add("up", "1 if what is published could be read.", is_up)


def _add_instants(
    gauges: Gauges,
    as_of: datetime | None,
    data_through: datetime | None,
    published_at: datetime | None,
) -> None:
    for name, about, instant in (
        ("as_of", "The instant that the figures speak for.", as_of),
        ("data_through", "Up to when the source had been read.", data_through),
        ("published", "When the generation was published.", published_at),
    ):
        seconds = instant.replace(tzinfo=UTC).timestamp() if instant else None
        gauges.add(f"{name}_timestamp_seconds", about, seconds)
    if data_through and published_at:
        gauges.add(
            "refresh_lag_seconds",
            "How old the data was when the generation was published.",
            (published_at - data_through).total_seconds(),
        )


def _add_totals(gauges: Gauges, size_bytes: object, executions: int | None) -> None:
    gauges.add("database_size_bytes", "The size of the source.", number(size_bytes))
    gauges.add("executions", "Executions in all.", executions)


def _add_refresh(gauges: Gauges, published: Published) -> None:
    """Add what the latest refresh read, and how."""
    for record in published.rows(REFRESH_HISTORY.name, limit=1).records:
        how = "1 for how the source was read: live, attached, files or address."
        gauges.add("refresh_read_as", how, 1, read_as=str(record["read_as"]))
        for name, about, column in _REFRESH:
            gauges.add(f"refresh_{name}", about, number(record[column]))


def _add_dimension(
    gauges: Gauges, reader: Reader, dimension: Literal["model_tier", "pool_type"]
) -> None:
    """Add the last day by the values of a dimension, the busiest ones."""
    by_value: dict[str, dict[str, object]] = defaultdict(dict)
    for question in (
        f"duration_by_{dimension}",
        _COSTS[dimension],
        f"success_rate_by_{dimension}",
    ):
        for record in reader.ask(question, TimeRange.DAY).records:
            by_value[str(record[dimension])] |= record
    busiest = sorted(by_value, key=lambda value: (-int(str(by_value[value]["executions"])), value))
    for value in busiest[:MOST]:
        labels = {dimension: value, "range": TimeRange.DAY}
        _add_figures(gauges, by_value[value], prefix=f"{dimension}_", **labels)
    about = "How many more values there are than are shown, the busiest."
    gauges.add(f"{dimension}_left_out", about, max(0, len(busiest) - MOST))


def _add_figures(
    gauges: Gauges, figures: Mapping[str, object], prefix: str = "", **labels: str
) -> None:
    for column, (name, about) in _FIGURES.items():
        gauges.add(prefix + name, about, number(figures.get(column)), **labels)
    for percentile in _PERCENTILES:
        gauges.add(
            f"{prefix}duration_percentile_seconds",
            "A percentile of the durations, within 1 %.",
            number(figures.get(f"p{percentile}_seconds")),
            **labels,
            percentile=percentile,
        )


def _add_rules(gauges: Gauges, verdicts: Iterable[RecordedVerdict | JudgedRule]) -> None:
    by_rule: dict[str, list[RecordedVerdict | JudgedRule]] = defaultdict(list)
    for verdict in verdicts:
        by_rule[verdict.rule].append(verdict)
    for rule, several in by_rule.items():
        several.sort(key=lambda verdict: (-verdict.verdict.badness, verdict.scope))
        for verdict in several[:MOST]:
            at = {"rule": rule, "scope": verdict.scope}
            gauges.add(
                "rule_state",
                "What a rule says: 0 ok, 1 warning, 2 critical, -1 insufficient data.",
                verdict.verdict.badness,
                **at,
            )
            gauges.add("rule_value", "The value that a rule judges.", verdict.value, **at)
            gauges.add(
                "rule_samples",
                "How many executions that value was made from.",
                verdict.samples,
                **at,
            )
            for severity, limit in (("warning", verdict.warning), ("critical", verdict.critical)):
                about = "Beyond it a value is that bad."
                gauges.add("rule_limit", about, limit, **at, severity=severity)
        about = "How many more scopes a rule has than are shown, the worst."
        gauges.add("rule_scopes_left_out", about, max(0, len(several) - MOST), rule=rule)


def _add_incidents(gauges: Gauges, settings: Settings) -> None:
    """Add the open incidents; without a readable store there is no series of them."""
    if not settings.home.incidents.is_file():
        return
    with (
        suppress(IncidentError),
        Incidents(settings.home.incidents, notifications=settings.config.notifications) as store,
    ):
        incidents = store.open_incidents()
        for severity in Severity:
            is_open = [
                incident.state is not IncidentState.PENDING and incident.severity is severity
                for incident in incidents
            ]
            about = "Incidents that are open, and not merely pending."
            gauges.add("open_incidents", about, sum(is_open), severity=severity)
