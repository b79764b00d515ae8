"""Archive of a source's old rows, with all of their columns, in one Parquet file per month.

The source is never written. Its owner may run the statements that delete the rows; to the pipeline
that looks like pruning, so the summaries stay. The reader process reads and writes the rows.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import msgspec

from dbmon_pipeline.core.archive.result import ArchivedRows
from dbmon_pipeline.core.common.duck import storage_errors
from dbmon_pipeline.core.common.errors import ArchiveError, ConfigError, NotPublishedError
from dbmon_pipeline.core.common.instants import day_start, iso, utc_now
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.home.locks import is_alive, liveness_lock
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.source.reader_client import shared_reader

_DEATHS = 2
"""The number of restarts after the reader process died over a block that changed."""


@dataclass(frozen=True)
class Archive:
    """Result of an archive run.

    Attributes:
        folder: The folder of the files.
        archived: The files, and how they came about.
        not_published: Why the published summaries do not hold all of these rows, if so.
    """

    folder: Path
    archived: ArchivedRows
    not_published: str | None


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
    with _workshop(out) as workshop:
        answer = shared_reader().request(
            "archive_rows",
            {
                "source": str(settings.source),
                "limits": msgspec.to_builtins(settings.config.source),
                "end": end.isoformat(),
                "out": str(out),
                "workshop": str(workshop),
            },
            retries=_DEATHS,
        )
    archived = msgspec.convert(answer, ArchivedRows)
    not_published = _not_published(settings, archived.days, end) if archived.days else None
    return Archive(out, archived, not_published)


@contextmanager
def _workshop(out: Path) -> Iterator[Path]:
    """Make a private folder inside that of the files, for what must not stay, and one process.

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
        with liveness_lock(lock):
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


def _not_published(settings: Settings, days: Mapping[date, int], end: datetime) -> str | None:
    """Tell why the published summaries do not hold all of these rows; None if they do.

    By their number in each day: the summaries may well hold more, because what was pruned stays.
    """
    try:
        with Published(settings.home) as published, published.translate_errors("daily_summary"):
            manifest = published.manifest
            counted = published.con.execute(
                "SELECT date, sum(executions) FROM read_parquet($files) GROUP BY 1",
                {"files": published.patterns("daily_summary")},
            ).fetchall()
    except NotPublishedError as error:
        return error.message
    if manifest.source.path != str(settings.source):
        return f"{settings.home.path} has the figures of {manifest.source.path}"
    if manifest.data_through < end:
        return f"{settings.home.path} has read them through {iso(manifest.data_through)}"
    missing = Counter(days) - Counter({day: int(rows) for day, rows in counted})
    if missing:
        return f"{missing.total():,} of them, from {min(missing)} on, are not in its summaries"
    return None
