"""Result that the reader process returns of its work for a refresh."""

from __future__ import annotations

from datetime import date, datetime

import msgspec

from dbmon_pipeline.core.schema.manifest import (
    BadValue,
    Difference,
    MadeWith,
    PublishedFile,
    SourceProfile,
)


class ReadingFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of how the source was read.

    Attributes:
        read_as: How: ``live``, ``attached``, ``files`` or ``address``.
        readings: How many readings were begun.
        thrown_away: How many of them did not count, since the source changed meanwhile.
        bytes_read: How much was read live from the file and its log.
    """

    read_as: str
    readings: int
    thrown_away: int
    bytes_read: int


class ChangeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of what a refresh found changed.

    Attributes:
        rows_read: How many rows were read.
        hours_changed: How many hours differed.
        days: The days that were read again.
        late_rows: Rows new to us although older than what had been read before, net by hour.
        rows_gone: Rows that went because the source no longer holds them, net.
        is_replaced: Whether the source was another file before.
        unrepairable_hours: Changed hours of which the owner has pruned a part.
    """

    rows_read: int
    hours_changed: int
    days: tuple[date, ...]
    late_rows: int
    rows_gone: int
    is_replaced: bool
    unrepairable_hours: int


class RolledUp(msgspec.Struct, frozen=True, kw_only=True):
    """The draft that was written, but for the tables that the checks and the refresh add.

    Attributes:
        tables: The files of each table.
        changed: How many files were written, of each table that has any.
        bytes_written: The size of those files.
        linked: How many files were linked.
        profile: What the look over the source said.
        made_with: What it was made with.
        recent_from: From when on every execution stands in ``recent_executions``.
        executions: How many executions are counted in all.
        bad_values: Examples of values that could not be read.
        quality: How many rows are not what the schema promises, by kind, since ``quality_from``.
        quality_from: From when on such rows were counted.
        duplicate_task_id: The first task id that stands in more than one row.
        reading: How the source was read.
        changes: What had changed.
        lost: Published files that were damaged and whose rows could not all be made again.
        purge: Whether older generations hold what must not be kept any more.
        source_differences: Figures of the rows that differ from the source's control sums.
        ledger_differences: Figures of the tables that differ from those of the ledger.
        seconds: How long each phase took.
    """

    tables: dict[str, tuple[PublishedFile, ...]]
    changed: dict[str, int]
    bytes_written: int
    linked: int
    profile: SourceProfile
    made_with: MadeWith
    recent_from: datetime
    executions: int
    bad_values: tuple[BadValue, ...]
    quality: dict[str, int]
    quality_from: datetime
    duplicate_task_id: str | None
    reading: ReadingFigures
    changes: ChangeFigures
    lost: tuple[str, ...]
    purge: bool
    source_differences: tuple[Difference, ...]
    ledger_differences: tuple[Difference, ...]
    seconds: dict[str, float]
