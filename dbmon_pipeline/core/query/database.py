"""Database that is read without a pipeline, by way of the reader process.

The rows of a window are copied there, and rolled up by the SELECTs that make the published tables.
So the figures are those that a refresh would publish.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from dbmon_pipeline.core.common.errors import ReaderDiedError
from dbmon_pipeline.core.common.instants import hour_floor
from dbmon_pipeline.core.common.rows import Rows
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.query.ranges import LONGEST_TO_THE_SECOND, Window
from dbmon_pipeline.core.schema.manifest import SourceProfile
from dbmon_pipeline.core.source.reader_client import ReaderProcess
from dbmon_pipeline.core.source.reader_protocol import decode_rows, encode_value


class RemoteDatabase:
    """Learning database as of an instant, opened in the reader process.

    Attributes:
        profile: What a look over it said.
    """

    profile: SourceProfile

    def __init__(
        self, process: ReaderProcess, path: Path, config: MonitoringConfig, as_of: datetime
    ) -> None:
        """Look over the database.

        Args:
            process: The reader process.
            path: The file or folder; the name of an address.
            config: How it may be read, and what its texts lose.
            as_of: Rows at or after it do not count.

        Raises:
            SourceError: It cannot be read.
        """
        self._process = process
        self._what = {
            "path": str(path),
            "config": msgspec.to_builtins(config),
            "as_of": as_of.isoformat(),
        }
        self._open()

    def close(self) -> None:
        """Let go of what is in the memory of the reader process."""
        if not self._process.is_closed:
            self._process.request("close_database", {"number": self._number})

    def window(self, length: timedelta, end: datetime) -> Window:
        """Return the window of a length that ends at an instant; a long one has full hours."""
        start = end - length if length <= LONGEST_TO_THE_SECOND else hour_floor(end - length)
        return Window(start, end, from_rows=True)

    def rows_window(self, length: timedelta, end: datetime) -> Window:
        """Return the window of a length to the second; all of its executions can be read."""
        return Window(end - length, end, from_rows=True)

    def workspace(self, window: Window) -> AbstractContextManager[_RemoteWorkspace]:
        """Name the tables of a window, which are made when they are asked."""
        return nullcontext(_RemoteWorkspace(self, window))

    def hours_beyond_limit(self, start: datetime, end: datetime) -> frozenset[datetime]:  # noqa: ARG002
        """List no hour: a database has no history of checks."""
        return frozenset()

    def ask(self, window: Window, select: str, values: Mapping[str, object]) -> Rows:
        """Run a statement over a window.

        Raises:
            SourceError: The database cannot be read.
        """
        try:
            return self._ask(window, select, values)
        except ReaderDiedError:  # a reading that was thrown away, with all that was in memory
            self._open()
            return self._ask(window, select, values)

    def _open(self) -> None:
        opened = self._process.request("open_database", self._what, retries=2)
        self._number: int = opened["number"]
        self.profile = msgspec.convert(opened["profile"], SourceProfile)

    def _ask(self, window: Window, select: str, values: Mapping[str, object]) -> Rows:
        answer: dict[str, Any] = self._process.request(
            "ask_database",
            {
                "number": self._number,
                "start": window.start.isoformat(),
                "end": window.end.isoformat(),
                "select": select,
                "values": encode_value(dict(values)),
            },
        )
        return Rows(*decode_rows(answer))


@dataclass(frozen=True)
class _RemoteWorkspace:
    """Tables of one window, in the reader process."""

    database: RemoteDatabase
    window: Window

    def rows(self, select: str, values: Mapping[str, object]) -> Rows:
        return self.database.ask(self.window, select, values)
