"""Content of a report, before it is drawn: the same for the page and for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dbmon_pipeline.core.common.rows import Records
from dbmon_pipeline.core.query.answers import ReaderInfo
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.outputs.report.changes import Change


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A picture of a table.

    Attributes:
        draws: The function of ``charts`` that draws it.
        title: What stands over it.
        text: What it shows, for who does not see it.
        limits: Values to draw a line at.
    """

    draws: str
    title: str
    text: str
    limits: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows with a caption, and maybe charts of them.

    Attributes:
        name: Its name in JSON and in links.
        caption: What it holds, and over which time.
        columns: The columns to show, in their order.
        rows: The rows.
        questions: The questions of the catalogue that the numbers come from.
        left_out: How many more rows there are.
        is_shown: Whether it is seen without being asked for.
        charts: The charts of it.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: Records
    questions: tuple[str, ...] = ()
    left_out: int = 0
    is_shown: bool = True
    charts: tuple[Chart, ...] = ()

    def is_numeric(self, column: str) -> bool:
        """Tell whether a column holds numbers."""
        return any(isinstance(row[column], int | float) for row in self.rows)


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the report.

    Attributes:
        name: Its name in JSON and in links.
        title: Its heading.
        lead: What to know before reading it.
        tables: What is in it.
    """

    name: str
    title: str
    lead: str
    tables: tuple[Table, ...]


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report as of one instant.

    Attributes:
        time_range: How far back it looks.
        time_zone: The zone of its days and times.
        about: What the figures are about.
        window_start: From when on executions were looked at, naive UTC.
        window_end: Up to when, not included.
        samples: How many executions there were.
        gist: What matters, in two sentences.
        changes: What changed since the period before.
        sections: The rest.
    """

    time_range: TimeRange
    time_zone: str
    about: ReaderInfo
    window_start: datetime
    window_end: datetime
    samples: int
    gist: tuple[str, str]
    changes: Sequence[Change]
    sections: Sequence[Section]
