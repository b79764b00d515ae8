"""The archive: a source's old rows, with all of their columns, in one Parquet file per month.

The source is never written. Its owner may run the statements that delete the rows; to the pipeline
that looks like pruning, so the summaries stay.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from pathlib import Path

from dbmon_pipeline.core.archive.archive_sql import delete_statements
from dbmon_pipeline.core.archive.month import (
    ArchivedFile,
    HourRows,
    Months,
    changed,
    hours_with_rows,
    month_of,
)
from dbmon_pipeline.core.common.duck import connect, quoted, storage_errors
from dbmon_pipeline.core.common.errors import ArchiveError, ConfigError, NotPublishedError
from dbmon_pipeline.core.common.instants import day_start, iso, utc_now
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.home.locks import alive, is_alive
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.source.source import Source

_FIRST_INSTANT = datetime.fromisoformat("1970-01-01")
"""Rows from before were written by a clock that was wrong, and stay where they are."""
_MEMORY = "600MB"


@dataclass(frozen=True)
class Archive:
    """What was archived.

    Attributes:
        files: The files, in the order of time.
        rows_without_timestamp: Rows of the source that belong to no month: never archived.
        rows_before_1970: Rows whose clock was wrong: never archived.
        not_published: Why the published summaries do not hold all of these rows, if so.
        delete_sql: Statements that delete these rows and no others; None if there are none.
        read_from: ``source``, or ``snapshot`` if its owner kept it open.
        longest_hold_ms: How long the longest attach lasted; None if all was read from a snapshot.
    """

    files: tuple[ArchivedFile, ...]
    rows_without_timestamp: int
    rows_before_1970: int
    not_published: str | None
    delete_sql: str | None
    read_from: str
    longest_hold_ms: float | None

    @property
    def rows(self) -> int:
        """How many rows the files have."""
        return sum(file.rows for file in self.files)


def archive(settings: Settings, before: date, out: Path) -> Archive:
    """Write the rows before a day to Parquet.

    Args:
        settings: The source, and the home whose summaries should hold the rows.
        before: The first day that is not archived.
        out: The folder of the files; one that is made is its user's alone.

    Raises:
        ConfigError: The day has not begun.
        SourceError: The source cannot be read.
        ArchiveError: The source was changed meanwhile, or a file is there that holds other rows.
        StorageError: The files cannot be written.
    """
    end = day_start(before)
    if end > utc_now():
        raise ConfigError(
            f"{before} lies in the future (it is {iso(utc_now())})",
            remedy="give a day that has begun, to archive the rows before it",
        )
    with _workshop(out) as workshop, connect(threads=1) as con:
        con.execute(f"SET memory_limit = '{_MEMORY}'")
        con.execute(f"SET temp_directory = {quoted(workshop / 'spilt')}")
        con.execute("SET preserve_insertion_order = false")
        limits = settings.config.source
        source = Source(settings.source, limits, con, snapshots=workshop / "snapshot")
        seen = source.overview(_FIRST_INSTANT, end)
        hours = hours_with_rows(source, seen.oldest, end) if seen.oldest else []
        not_published = _not_published(settings, hours, end) if hours else None
        months = Months(source, con, out, workshop)
        files = tuple(
            months.file(list(hours_of_month), end)
            for _, hours_of_month in groupby(hours, lambda hour: month_of(hour[0]))
        )
        rows = sum(file.rows for file in files)
        if source.overview(_FIRST_INSTANT, end).rows != rows:
            raise changed(source.path, f"before {before}")
        return Archive(
            files=files,
            rows_without_timestamp=seen.rows_without_timestamp,
            rows_before_1970=seen.too_old_rows,
            not_published=not_published,
            delete_sql=delete_statements(source.schema, month_of(hours[0][0]), end, rows)
            if hours
            else None,
            read_from="snapshot" if source.snapshot else "source",
            longest_hold_ms=max(source.holds_ms, default=None),
        )


@contextmanager
def _workshop(out: Path) -> Iterator[Path]:
    """A private folder inside that of the files, for what must not stay, and for one process.

    What a killed one has left there is removed.
    """
    lock, workshop = out / ".archiving.lock", out / ".archiving"
    with storage_errors(out):
        is_made = not out.exists()
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        if is_alive(lock):
            raise ArchiveError(
                f"another process archives into {out}", remedy="wait until it has ended"
            )
        workshop.mkdir(mode=0o700, exist_ok=True)
    try:
        with alive(lock):
            shutil.rmtree(workshop, ignore_errors=True)
            workshop.mkdir(mode=0o700)
            try:
                yield workshop
            finally:
                shutil.rmtree(workshop, ignore_errors=True)
    finally:
        if is_made:
            with suppress(OSError):  # There are files in it.
                out.rmdir()


def _not_published(settings: Settings, hours: list[HourRows], end: datetime) -> str | None:
    """Why the published summaries do not hold all of these rows; None if they do.

    By their number in each day: the summaries may well hold more, because what was pruned stays.
    """
    try:
        with Published(settings.home) as published, published.translate_errors("daily_summary"):
            manifest = published.manifest
            files = published.patterns("daily_summary")
            days = published.con.execute(
                "SELECT date, sum(executions) FROM read_parquet($files) GROUP BY 1",
                {"files": files},
            ).fetchall()
    except NotPublishedError as error:
        return error.message
    if manifest.source.get("path") != str(settings.source):
        return f"{settings.home.path} has the figures of {manifest.source.get('path')}"
    through = manifest.data_through
    if through is None or through < end:
        return f"{settings.home.path} has read them through {iso(through) if through else 'a part'}"
    missing = Counter[date]()
    for hour, rows in hours:
        missing[hour.date()] += rows
    missing -= Counter({day: int(rows) for day, rows in days})
    if missing:
        return f"{missing.total():,} of them, from {min(missing)} on, are not in its summaries"
    return None
