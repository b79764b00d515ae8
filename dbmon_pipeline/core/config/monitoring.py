"""Rules file: every limit, once, read from YAML and validated."""

from __future__ import annotations

from datetime import date

import msgspec

from dbmon_pipeline.core.config.notifications import Notifications
from dbmon_pipeline.core.config.rule import Rule
from dbmon_pipeline.core.config.section import (
    Address,
    ExtensionName,
    Positive,
    Seconds,
    Section,
    Share,
    TextFile,
)


class Keep(Section, frozen=True):
    """Retention periods.

    Attributes:
        generations: Published generations, the current one included.
        dagster_runs_days: Days of runs in the Dagster instance.
    """

    generations: Positive = 3
    dagster_runs_days: Positive = 30


class SourceLimits(Section, frozen=True):
    """Limits on reading the source.

    Attributes:
        attach_wait_seconds: How long to try while the owner holds a source that must be attached,
            since it lies on a network file system.
        compare_hours: How far back each refresh looks for late, changed and deleted rows.
        compare_days: How far back the daily refresh does.
        most_gone: Which part of the known executions may be gone from it without being asked.
        attach: The address of a source that is no file, for DuckDB's ATTACH.
        extension: The DuckDB extension that it needs, which is installed already.
    """

    attach_wait_seconds: Seconds = 2
    compare_hours: Positive = 48
    compare_days: Positive = 90
    most_gone: Share = 0.2
    attach: Address | None = None
    extension: ExtensionName | None = None


class HomeLimits(Section, frozen=True):
    """Limits on waiting for the home.

    Attributes:
        lock_wait_seconds: How long a refresh waits for another one to end.
    """

    lock_wait_seconds: Seconds = 120


class Redaction(Section, frozen=True):
    """Redaction of free text while it is read from the source.

    Attributes:
        enabled: Whether anything is removed at all.
        patterns: RE2 expressions by name; a match becomes ``[redacted NAME]``.
    """

    enabled: bool = True
    patterns: dict[str, str] = msgspec.field(default_factory=dict)


class Mcp(Section, frozen=True):
    """Permissions of the MCP server.

    Attributes:
        databases: Databases that a caller may name besides the configured source.
        max_rows: Rows of an answer; more are cut, and the answer says so.
        max_text: Characters of a text from the data.
        allowed_hosts: Names under which the server may be called beyond this machine.
    """

    databases: tuple[str, ...] = ()
    max_rows: Positive = 1000
    max_text: Positive = 500
    allowed_hosts: tuple[str, ...] = ()


class PrometheusOutput(Section, frozen=True):
    """Output for Prometheus.

    Attributes:
        textfile: A file for the node exporter, absolute, of a name that it reads; None for none.
    """

    textfile: TextFile | None = None


class ReportOutput(Section, frozen=True):
    """Settings of reports.

    Attributes:
        time_zone: The IANA name of the zone of their days and times, and of their schedules.
        keep_days: How long they are kept.
    """

    time_zone: str = "UTC"
    keep_days: Positive = 90


class MonitoringConfig(Section, frozen=True):
    """Configuration of monitoring: the whole rules file.

    Attributes:
        history_start: The first day that is monitored; older executions are only counted.
        keep: How long things are kept.
        source: How the source may be touched.
        home: How the home may be waited for.
        redaction: What free text loses while it is read from the source.
        mcp: What the MCP server may do.
        prometheus: What Prometheus is given.
        rules: The alert rules, by name.
        notifications: The targets of notifications.
        report: How reports are made.
    """

    history_start: date = date(2023, 1, 1)
    keep: Keep = Keep()
    source: SourceLimits = SourceLimits()
    home: HomeLimits = HomeLimits()
    redaction: Redaction = Redaction()
    mcp: Mcp = Mcp()
    prometheus: PrometheusOutput = PrometheusOutput()
    rules: dict[str, Rule] = msgspec.field(default_factory=dict)
    notifications: Notifications = Notifications()
    report: ReportOutput = ReportOutput()
