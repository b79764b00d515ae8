"""Answers to questions, and the window and data of their figures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypedDict

from dbmon_pipeline.core.common.instants import iso
from dbmon_pipeline.core.common.rows import Rows


class SpokenFor(TypedDict):
    """Window, data age and samples of an answer, as JSON has them."""

    window_start: str
    window_end: str
    data_through: str | None
    samples: int


@dataclass(frozen=True)
class Answer(Rows):
    """Answer to a question.

    Attributes:
        question: Its name.
        window_start: From when on executions were looked at, naive UTC.
        window_end: Up to when, not included.
        data_through: Up to when the source had been read; None before it was read whole.
        samples: How many executions of the window passed the filters.
    """

    question: str
    window_start: datetime
    window_end: datetime
    data_through: datetime | None
    samples: int

    @property
    def about(self) -> SpokenFor:
        """The window, data age and samples of the answer, as JSON has them."""
        return {
            "window_start": iso(self.window_start),
            "window_end": iso(self.window_end),
            "data_through": iso(self.data_through) if self.data_through else None,
            "samples": self.samples,
        }


@dataclass(frozen=True)
class ReaderInfo:
    """Source and publication of a reader's figures.

    Attributes:
        path: The source database.
        as_of: The instant the reader speaks for, naive UTC.
        data_through: Up to when the source had been read; None before it was read whole.
        published_at: When the figures were published; None if they come from the database itself.
        executions: How many executions are monitored in all.
        schema_version: What the source says of itself, None if it does not.
        source_bytes: The size of the source now, or when it was last read if it is gone.
        read_as: How the source was read: ``live``, ``attached``, ``files`` or ``address``.
    """

    path: Path
    as_of: datetime
    data_through: datetime | None
    published_at: datetime | None
    executions: int
    schema_version: int | None
    source_bytes: int
    read_as: str = "live"
