"""Checks of the source: is it there, how is it read, and is it a table of executions."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from dbmon_pipeline.core.common.duck import log_path
from dbmon_pipeline.core.common.errors import (
    NotPublishedError,
    SourceChangingError,
    SourceLockedError,
)
from dbmon_pipeline.core.common.instants import utc_now
from dbmon_pipeline.core.config.address import is_remote
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.doctor.finding import Outcome, megabytes, ok, warning
from dbmon_pipeline.core.query.database import RemoteDatabase
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.schema.catalogue import REFRESH_HISTORY
from dbmon_pipeline.core.schema.manifest import SourceProfile
from dbmon_pipeline.core.source.health import source_health
from dbmon_pipeline.core.source.live_file import is_local
from dbmon_pipeline.core.source.parquet_folder import folder_bytes, parquet_files
from dbmon_pipeline.core.source.reader_client import shared_reader

_WAYS = {
    "live": "read live, without a lock",
    "attached": "attached for each reading, since it lies on a network file system",
    "files": "read file by file",
    "address": "attached by its address",
}
"""The ways of reading a source, in words."""


def source_file(settings: Settings) -> Outcome:
    """Look at the source from outside: its kind, its size, its log, and who writes it."""
    path = settings.source
    health = source_health(path)
    if health.error:
        raise health.error
    if is_remote(path):
        return ok(f"{path} is {_WAYS['address']}")
    if path.is_dir():
        return ok(
            f"{path} has {len(parquet_files(path))} Parquet files with"
            f" {megabytes(folder_bytes(path))}; it is {_WAYS['files']}"
        )
    seen = f"{path} has {megabytes(path.stat().st_size)}"
    log = log_path(path)
    log_bytes = log.stat().st_size if log.exists() else 0
    if log_bytes:
        seen += f" and a log of {megabytes(log_bytes)}"
    if health.writer:
        seen += f"; {health.writer} holds it open for writing, which is normal"
    else:
        seen += "; nobody holds it open for writing"
        seen += "; its last writer left the log, which is read, too" if log_bytes else ""
    way = _WAYS["live"] if is_local(path) else f"{_WAYS['attached']}: its owner may have to wait"
    return ok(f"{seen}; it is {way}")


def source_schema(settings: Settings) -> Outcome | None:
    """Hold the source against the schema contract, and count the rows that are not monitored."""
    path = settings.source
    if not (is_remote(path) or path.exists()) or source_health(path).problem:
        return None
    try:
        profile = _profile(settings, path)
    except (SourceLockedError, SourceChangingError) as error:
        return warning(f"not looked at, because {error.message}", error.remedy)
    seen = f"executions has {len(profile.columns)} of the columns that are read"
    missing = ", ".join(profile.missing_columns)
    seen += f"; the optional {missing} are not there" if missing else ", which is all"
    seen += f"; {profile.rows:,} rows are monitored"
    if profile.too_old_rows:
        seen += f"; {profile.too_old_rows:,} lie before history_start and are not"
    faults = {
        "have no timestamp": profile.rows_without_timestamp,
        "lie in the future": profile.far_future_rows,
    }
    faulty = [f"{rows:,} {fault}" for fault, rows in faults.items() if rows]
    if faulty:
        return warning(f"{seen}; not monitored: {', '.join(faulty)}", "correct their timestamps")
    return ok(seen)


def source_of_the_home(settings: Settings) -> Outcome | None:
    """Tell whether the published data was read from this source, and how."""
    try:
        with Published(settings.home) as published:
            profile = published.manifest.source
            figures = published.rows(REFRESH_HISTORY.name, limit=1).records
    except NotPublishedError:
        return None
    if profile.path != str(settings.source):
        return warning(
            f"{settings.home.path} was filled from {profile.path}, not from {settings.source}",
            "give each source a home of its own, or name the former one with --source",
        )
    seen = f"for the last refresh it was {_WAYS.get(profile.read_as, profile.read_as)}"
    for last in figures:
        readings, thrown_away = int(str(last["readings"])), int(str(last["readings_thrown_away"]))
        size = megabytes(float(str(last["bytes_read"])))
        seen += f": {readings:,} readings, {thrown_away:,} of them thrown away, {size} read"
    return ok(seen)


def _profile(settings: Settings, path: Path) -> SourceProfile:
    """Profile the source in the reader process.

    Raises:
        SourceError: It cannot be read.
    """
    with closing(RemoteDatabase(shared_reader(), path, settings.config, utc_now())) as database:
        return database.profile
