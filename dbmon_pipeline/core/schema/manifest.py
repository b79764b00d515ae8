"""The manifest: what a published generation is, in one JSON file beside its tables."""

from __future__ import annotations

import os
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from dbmon_pipeline.core.common.errors import NotPublishedError
from dbmon_pipeline.core.common.instants import DAY, EARLIEST, day_start

FILE_NAME = "manifest.json"
FORMAT_VERSION = 1
WINDOW_FILE = "window"
"""The name of the only file of a table of the last so much time."""
EMPTY_FILE = "empty"
"""The name of the only file of a table without rows."""
_SUFFIX = ".parquet"


Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Instant = Annotated[datetime, Meta(tz=False)]


class PublishedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file of a table.

    Attributes:
        name: Its name in the table's folder.
        rows: How many rows it has.
    """

    name: str
    rows: Count

    def __post_init__(self) -> None:
        """Refuse a name that is none of ours; it is no path out of the folder."""
        period, suffix = self.name[: -len(_SUFFIX)], self.name[-len(_SUFFIX) :]
        if suffix != _SUFFIX:
            raise ValueError(f"{self.name!r} is no file of a table")
        if period not in (WINDOW_FILE, EMPTY_FILE):
            bounds(period)

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
    generation: Count
    as_of: Instant
    data_through: Instant | None
    published_at: Instant
    executions: Count
    schema_version: int | None
    source: dict[str, object]
    versions: dict[str, str]
    tables: dict[str, tuple[PublishedFile, ...]]

    def __post_init__(self) -> None:
        """Refuse what cannot be read as it is meant."""
        if self.as_of < EARLIEST:
            raise ValueError(f"as_of lies before {EARLIEST:%Y}")
        size = self.source.get("size_bytes", 0)
        if not isinstance(size, int):
            raise ValueError(f"{size!r} is no size of a source")

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
        NotPublishedError: There is none, it cannot be understood, or a newer version wrote it.
    """
    path = generation / FILE_NAME
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise NotPublishedError(
            f"nothing is published in {generation.parent}", remedy="run dbmon refresh first"
        ) from None
    except PermissionError:
        raise NotPublishedError(
            f"{path} may not be read by user {os.getuid()}", remedy="grant read permission on it"
        ) from None
    except (OSError, msgspec.MsgspecError) as error:
        raise NotPublishedError(
            f"{path} cannot be understood ({error})",
            remedy="remove that generation and run dbmon refresh",
        ) from None
    if manifest.format_version > FORMAT_VERSION:
        raise NotPublishedError(
            f"{path} was written by a newer version of dbmon", remedy="upgrade dbmon-pipeline"
        )
    return manifest
