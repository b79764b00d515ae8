"""The manifest: what a published generation is, in one JSON file beside its tables."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import msgspec

from dbmon_pipeline.core.errors import NotPublishedError
from dbmon_pipeline.core.instants import DAY, day_start

FILE_NAME = "manifest.json"
FORMAT_VERSION = 1
WINDOW_FILE = "window"
"""The name of the only file of a table of the last so much time."""
EMPTY_FILE = "empty"
"""The name of the only file of a table without rows."""


class PublishedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file of a table.

    Attributes:
        name: Its name in the table's folder.
        rows: How many rows it has.
    """

    name: str
    rows: int

    def overlaps(self, start: datetime, end: datetime) -> bool:
        """Whether it may hold rows of ``[start, end)``."""
        period = Path(self.name).stem
        if period in (WINDOW_FILE, EMPTY_FILE):
            return True
        first, last = bounds(period)
        return first < end and start < last


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a generation holds and speaks for.

    Attributes:
        format_version: The version of this layout.
        generation: Its number; a later generation has a larger one.
        as_of: The instant the figures speak for, naive UTC.
        data_through: The instant up to which the source had been read, naive UTC; None before the
            first whole read.
        published_at: When it was published, naive UTC.
        executions: How many executions the tables count in all.
        schema_version: What the source said of itself, None if it did not.
        source: What identifies the source: path, inode and size.
        versions: The versions of dbmon and duckdb that wrote it.
        tables: The files of each table.
    """

    format_version: int = FORMAT_VERSION
    generation: int
    as_of: datetime
    data_through: datetime | None
    published_at: datetime
    executions: int
    schema_version: int | None
    source: dict[str, object]
    versions: dict[str, str]
    tables: dict[str, tuple[PublishedFile, ...]]

    def rows(self, table: str) -> int:
        """How many rows a table has."""
        return sum(file.rows for file in self.tables[table])


def bounds(period: str) -> tuple[datetime, datetime]:
    """The window ``[start, end)`` of a file's period, ``YYYY-MM`` or ``YYYY-MM-DD``."""
    is_day = len(period) == len("2026-02-10")
    first = day_start(date.fromisoformat(period if is_day else f"{period}-01"))
    return first, first + DAY if is_day else (first + 31 * DAY).replace(day=1)


def read_manifest(generation: Path) -> Manifest:
    """Read the manifest of a generation.

    Raises:
        NotPublishedError: There is none, or it cannot be understood.
    """
    path = generation / FILE_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise NotPublishedError(
            f"nothing is published in {generation.parent}", remedy="run dbmon refresh first"
        ) from None
    except (OSError, msgspec.MsgspecError) as error:
        raise NotPublishedError(
            f"{path} cannot be understood ({error})",
            remedy="remove that generation and run dbmon refresh",
        ) from None
