"""What is written for others besides what is published, as the rules file has it."""

from __future__ import annotations

from dbmon_pipeline.core.config.section import Positive, Section, TextFile


class PrometheusOutput(Section, frozen=True):
    """What Prometheus is given.

    Attributes:
        textfile: A file for the node exporter, absolute, of a name that it reads; None for none.
    """

    textfile: TextFile | None = None


class ReportOutput(Section, frozen=True):
    """How reports are made.

    Attributes:
        time_zone: The IANA name of the zone of their days and times, and of their schedules.
        keep_days: How long they are kept.
    """

    time_zone: str = "UTC"
    keep_days: Positive = 90
