"""Manifest: the description of a published generation, in one JSON file beside its tables."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from dbmon_pipeline.core.common.errors import NotPublishedError
from dbmon_pipeline.core.common.instants import EARLIEST
from dbmon_pipeline.core.schema.period import EMPTY, WINDOW, bounds

FILE_NAME = "manifest.json"
FORMAT_VERSION = 2
_SUFFIX = ".parquet"

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Instant = Annotated[datetime, Meta(tz=False)]


class PublishedFile(msgspec.Struct, frozen=True, kw_only=True):
    """Parquet file of a table.

    Attributes:
        name: Its name in the table's folder.
        rows: How many rows it has.
        bytes: Its size.
    """

    name: str
    rows: Count
    bytes: Count

    def __post_init__(self) -> None:
        """Refuse a name that is none of ours, such as a path out of the folder."""
        if self.name[-len(_SUFFIX) :] != _SUFFIX:
            raise ValueError(f"{self.name!r} is no file of a table")
        if self.period not in (WINDOW, EMPTY):
            bounds(self.period)

    @property
    def period(self) -> str:
        """The name of the stretch of time that it holds."""
        return self.name[: -len(_SUFFIX)]

    def overlaps(self, start: datetime, end: datetime) -> bool:
        """Tell whether it may hold rows of ``[start, end)``."""
        if self.period in (WINDOW, EMPTY):
            return True
        first, last = bounds(self.period)
        return first < end and start < last


class SourceProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Profile of the source, from one look over it.

    Attributes:
        path: The file or folder; the name of an address.
        inode: Its inode; 0 where it has none.
        size_bytes: Its size.
        read_as: How it was read: ``live``, ``attached``, ``files`` or ``address``.
        columns: The types of those of our columns that it has.
        schema_version: What it says of itself in its table ``metadata``, if it does.
        rows: How many rows are monitored: from the start of the history up to as_of.
        oldest: The timestamp of its oldest monitored row, None if there is none.
        future_rows: Rows at or after as_of: not read yet.
        far_future_rows: Those of them more than five minutes after it.
        too_old_rows: Rows before the start of the history: never read.
        rows_without_timestamp: Rows that belong to no hour: never read.
        missing_columns: Optional columns that it does not have.
        pruned_before: Up to when its owner has pruned rows; they are still counted here.
    """

    path: str
    inode: Count
    size_bytes: Count
    read_as: str
    columns: dict[str, str]
    schema_version: int | None
    rows: Count
    oldest: Instant | None
    future_rows: Count
    far_future_rows: Count
    too_old_rows: Count
    rows_without_timestamp: Count
    missing_columns: tuple[str, ...]
    pruned_before: Instant | None = None


class BadValue(msgspec.Struct, frozen=True, kw_only=True):
    """Value of the source that could not be read.

    Attributes:
        column: The column.
        value: The value as a text, cut.
        task_id: The task that it stands in.
    """

    column: str
    value: str
    task_id: str | None


class Difference(msgspec.Struct, frozen=True):
    """Difference between two computations of the same figure.

    Attributes:
        figure: What was computed.
        expected: Its value where the data came from.
        actual: Its value here.
    """

    figure: str
    expected: float
    actual: float


class MadeWith(msgspec.Struct, frozen=True, kw_only=True):
    """Versions that a generation was made with; where one changes, days are made again.

    Attributes:
        tables: For each table the digest of its SELECT.
        redaction: The digest of what free texts lose.
        fingerprint: The version of the hours' fingerprints.
    """

    tables: dict[str, str]
    redaction: str
    fingerprint: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Manifest of a generation: its contents, and the instant that it speaks for.

    Attributes:
        format_version: The version of this layout.
        generation: Its number; a later generation has a larger one.
        as_of: The instant the figures speak for, naive UTC.
        data_through: The instant up to which the source had been read, naive UTC.
        published_at: When it was published, naive UTC.
        executions: How many executions the tables count in all.
        recent_from: From when on every execution stands in ``recent_executions``.
        source: What a look over the source said.
        made_with: What it was made with.
        bad_values: Examples of values that could not be read.
        versions: The versions of dbmon and duckdb that wrote it.
        tables: The files of each table.
    """

    format_version: int = FORMAT_VERSION
    generation: Count
    as_of: Instant
    data_through: Instant
    published_at: Instant
    executions: Count
    recent_from: Instant
    source: SourceProfile
    made_with: MadeWith
    bad_values: tuple[BadValue, ...] = ()
    versions: dict[str, str]
    tables: dict[str, tuple[PublishedFile, ...]]

    def __post_init__(self) -> None:
        """Refuse values that cannot be read as they are meant."""
        if self.as_of < EARLIEST:
            raise ValueError(f"as_of lies before {EARLIEST:%Y}")

    def rows(self, table: str) -> int:
        """Tell how many rows a table has."""
        return sum(file.rows for file in self.tables[table])


class _Version(msgspec.Struct):
    format_version: int = 1


def read_manifest(generation: Path) -> Manifest:
    """Read the manifest of a generation.

    Raises:
        NotPublishedError: There is none, it cannot be understood, or another version wrote it.
    """
    path = generation / FILE_NAME
    try:
        text = path.read_bytes()
        version = msgspec.json.decode(text, type=_Version).format_version
        if version == FORMAT_VERSION:
            return msgspec.json.decode(text, type=Manifest)
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
    if version > FORMAT_VERSION:
        raise NotPublishedError(
            f"{path} was written by a newer version of dbmon", remedy="upgrade dbmon-pipeline"
        )
    raise NotPublishedError(
        f"{path} was written by dbmon 0.1, whose homes cannot be continued",
        remedy="run dbmon refresh with another home, or remove this one and begin anew",
    )
