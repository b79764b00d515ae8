"""A status in words: for people, and for monitoring plugins."""

import os
import re
from dataclasses import asdict
from typing import TextIO

from dbmon_pipeline.core.alerting.verdicts import format_value
from dbmon_pipeline.core.common.instants import iso
from dbmon_pipeline.core.common.rows import Rows
from dbmon_pipeline.core.query.answers import Answer
from dbmon_pipeline.core.status.execution_reports import ExecutionStatistics, PerformanceMetrics
from dbmon_pipeline.core.status.status import DatabaseStatus, JudgedRule, Level
from dbmon_pipeline.faces.cli.output import Format, print_result, print_rows
from dbmon_pipeline.faces.cli.tabular import table_lines

_COLOURS = {Level.OK: "32", Level.WARNING: "33", Level.ERROR: "31", Level.CRITICAL: "1;31"}
_UNKNOWN = "-"
_UNITS = {"source_freshness": "s", "database_size": "MB"}
"""Units of performance data, where they are not counts or rates."""
_WAYS = {
    "live": "live, without a lock",
    "attached": "attached, since it lies on a network file system",
    "files": "files, one by one",
    "address": "attached by its address",
}
"""Ways in which a source was read, in words."""


def has_colour(stream: TextIO) -> bool:
    """Tell whether colours are wanted: on a terminal, unless NO_COLOR says otherwise."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def text(status: DatabaseStatus, *, alert: bool, colour: bool) -> str:
    """Render a status for a person.

    Args:
        status: The status.
        alert: Whether to show what every rule says.
        colour: Whether the level is coloured.
    """
    level = f"\x1b[{_COLOURS[status.status]}m{status.status}\x1b[0m" if colour else status.status
    database, counts, performance = status.database, status.executions, status.performance
    lines = [
        f"Status: {level}",
        f"Timestamp: {status.timestamp}",
        f"Database: {database.path}",
        f"Size: {_UNKNOWN if database.size_mb is None else f'{database.size_mb:,.2f} MB'}",
        f"Schema Version: {database.schema_version or _UNKNOWN}",
    ]
    if status.data_through:
        lines.append(f"Data Through: {status.data_through}")
    if database.writer:
        lines.append(f"Writer: {database.writer}, which is normal; figures as of Data Through")
    if database.read_as:
        lines.append(f"Read As: {_WAYS.get(database.read_as, database.read_as)}")
    if counts and performance:
        lines += [
            "",
            "Executions:",
            f"  Total: {counts.total:,}",
            f"  Recent (1h): {counts.recent_1h:,}",
            f"  Daily: {counts.daily:,}",
            f"  Weekly: {counts.weekly:,}",
            "",
            "Performance:",
            f"  Daily Success Rate: {_number(performance.daily_success_rate, '.1%')}",
            f"  Daily Average Duration: {_number(performance.avg_duration_seconds, ',.1f')} s",
            f"  Daily Average Quality: {_number(performance.avg_quality_score, '.1f')}",
        ]
    for title, sentences in (("Warnings", status.warnings), ("Errors", status.errors)):
        if sentences:
            lines += ["", f"{title}:", *(f"  - {sentence}" for sentence in sentences)]
    if alert:
        columns = ("rule", "scope", "verdict", "value", "samples", "plainly", "warning", "critical")
        rows = [_alert_row(rule) for rule in status.alerts]
        lines += ["", "Alerts:", *(f"  {line}" for line in table_lines(Rows(columns, rows), 2))]
    return "\n".join(lines)


def _alert_row(rule: JudgedRule) -> tuple[object, ...]:
    """Return a rule's result with its units, and the result of a plain comparison."""

    def told(value: float | None) -> str | None:
        return None if value is None else format_value(rule.measurement, value)

    plainly = f"{told(rule.raw_value) or '-'} {rule.raw_verdict}"
    judged = (rule.rule, rule.scope, rule.verdict, told(rule.value), rule.samples)
    return (*judged, plainly, told(rule.warning), told(rule.critical))


def nagios(status: DatabaseStatus) -> str:
    """Render a status for a monitoring plugin: one line, and performance data behind a bar."""
    counts = status.executions
    sentences = status.errors + status.warnings
    if not sentences and counts:
        rate = status.performance.daily_success_rate if status.performance else None
        sentences = [f"{counts.daily:,} executions in 24h, success rate {_number(rate, '.1%')}"]
    figures = [_performance_data(rule) for rule in status.alerts if rule.value is not None]
    if counts:
        figures += [f"executions_1h={counts.recent_1h}", f"executions_24h={counts.daily}"]
    said = "; ".join(sentences).replace("|", "/")
    return f"DBMON {status.status} - {said} | {' '.join(figures)}".rstrip(" |")


def _performance_data(rule: JudgedRule) -> str:
    """Render ``value;warn;crit`` with ranges of the Monitoring Plugins' development guidelines."""
    is_low_bad = (
        rule.warning is not None and rule.critical is not None and rule.critical < rule.warning
    ) or rule.direction == "below"
    limits = (
        "" if limit is None else f"{_decimal(limit)}:" if is_low_bad else _decimal(limit)
        for limit in (rule.warning, rule.critical)
    )
    unit = _UNITS.get(rule.measurement, "")
    scope = re.sub(r"['=|\s]+", "_", rule.scope)
    label = rule.rule if rule.scope == "all" else f"'{rule.rule} {scope}'"
    return f"{label}={_decimal(rule.value or 0)}{unit};{';'.join(limits)}"


def _decimal(value: float) -> str:
    """Format a number without an exponent, which monitoring plugins do not know."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def window_line(answer: Answer) -> str:
    """Describe the window and the data that an answer speaks for."""
    through = iso(answer.data_through) if answer.data_through else "not yet"
    return (
        f"{answer.samples:,} executions from {iso(answer.window_start)} to"
        f" {iso(answer.window_end)}, data through {through}"
    )


def print_statistics(statistics: ExecutionStatistics, metrics: PerformanceMetrics) -> None:
    """Print both reports for a person."""
    print_result(
        f"{statistics.samples:,} executions from {statistics.window_start} to"
        f" {statistics.window_end}, data through {statistics.data_through or 'not yet'}"
    )
    for title, records in (
        ("Performance", [asdict(statistics.performance)]),
        ("Duration", [asdict(metrics.duration)]),
        ("Cost", [asdict(metrics.cost)]),
        ("Resources", [asdict(metrics.resources)]),
        ("Over time", statistics.time_series),
        ("By model tier", statistics.by_model_tier),
        ("Duration by model tier", metrics.by_model_tier),
        ("By pool type", statistics.by_pool_type),
        ("Top repositories", statistics.top_repositories),
        ("By task type", statistics.by_task_type),
    ):
        print_result(f"\n{title}")
        if not records:
            print_result("-")
            continue
        columns = tuple(records[0])
        print_rows(Rows(columns, [tuple(record.values()) for record in records]), Format.TABLE)


def _number(value: float | None, form: str) -> str:
    return _UNKNOWN if value is None else format(value, form)
