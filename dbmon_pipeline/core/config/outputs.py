"""Outputs for other programs and people besides the published data, as in the rules file."""

from __future__ import annotations

from dbmon_pipeline.core.config.section import Positive, Section, TextFile


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
