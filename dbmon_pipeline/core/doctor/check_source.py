"""Checks of the source: is it there, who holds it, and is it a table of executions."""

from __future__ import annotations

from pathlib import Path

import msgspec

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.common.errors import NotPublishedError, SourceLockedError
from dbmon_pipeline.core.config.address import is_remote
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.doctor.finding import Outcome, megabytes, ok, warning
from dbmon_pipeline.core.home.locks import glance
from dbmon_pipeline.core.schema.manifest import read_manifest
from dbmon_pipeline.core.source.health import look_at
from dbmon_pipeline.core.source.parquet_folder import folder_bytes, parquet_files
from dbmon_pipeline.core.source.source import Source

_WAIT_SECONDS = 0.3
"""How long to try while its owner opens and closes it."""


def source_file(settings: Settings) -> Outcome:
    """The file, looked at from outside: no lock is taken."""
    path = settings.source
    health = look_at(path)
    if health.problem:
        raise health.problem
    if is_remote(path):
        return ok(f"{path} is attached by its address")
    if path.is_dir():
        return ok(
            f"{path} has {len(parquet_files(path))} Parquet files with"
            f" {megabytes(folder_bytes(path))}; nobody's lock is needed"
        )
    log = path.with_name(f"{path.name}.wal")
    size = path.stat().st_size + (log.stat().st_size if log.exists() else 0)
    seen = f"{path} has {megabytes(size)}; "
    if health.writer is None:
        return ok(f"{seen}nobody holds it open for writing, so a refresh reads it directly")
    seen += f"{health.writer} holds it open for writing, "
    if settings.config.source.snapshot:
        return ok(f"{seen}so a refresh reads a guarded copy")
    return warning(
        f"{seen}and source.snapshot is off, so it cannot be read",
        "set source.snapshot to true, or have that process close it between its writes",
    )


def source_schema(settings: Settings) -> Outcome | None:
    """The schema contract: looked at in the source for a moment, or in the copy of it."""
    path = settings.source
    if not (is_remote(path) or path.exists()):
        return None
    health = look_at(path)
    if health.problem:
        return None
    if health.writer is None:
        try:
            return _schema(settings, path)
        except SourceLockedError as error:
            holder = error.message
    else:
        holder = f"{health.writer} holds the source open"
    with glance(settings.home.lock) as is_busy:
        if is_busy:
            return ok(f"not looked at, because {holder}; the refresh under way does it")
        copy = settings.home.snapshots / path.name
        if copy.is_file():
            return _schema(settings, copy)
    return warning(
        f"not looked at, because {holder}, and there is no copy of it",
        "run dbmon refresh, which takes one"
        if settings.config.source.snapshot
        else "repeat when that process has closed it",
    )


def source_of_the_home(settings: Settings) -> Outcome | None:
    """Whether what is published was read from this source, and how."""
    try:
        told = read_manifest(settings.home.generation).source
    except NotPublishedError:
        return None
    path = told.get("path")
    if path != str(settings.source):
        return warning(
            f"{settings.home.path} was filled from {path}, not from {settings.source}",
            "give each source a home of its own, or name the former one with --source",
        )
    way = "a guarded copy" if told.get("read_from") == "snapshot" else "the file itself"
    return ok(f"the last refresh read {way}")


def _schema(settings: Settings, path: Path) -> Outcome:
    limits = msgspec.structs.replace(
        settings.config.source, lock_wait_seconds=_WAIT_SECONDS, snapshot=False
    )
    with connect() as con:
        source = Source(path, limits, con)
        with source.attached():
            schema = source.schema
    where = "the source" if path == settings.source else "the copy of the source"
    seen = f"{where} has executions with {len(schema.types)} of the columns that are read"
    if schema.missing:
        return ok(f"{seen}; the optional {', '.join(schema.missing)} are not there")
    return ok(f"{seen}, which is all")
