"""Readers of what is published, of a database that is named, or of whichever can be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from dbmon_pipeline.core.common.paths import expanded
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.query.answers import ReaderInfo
from dbmon_pipeline.core.query.database import RemoteDatabase
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.query.reader import Reader
from dbmon_pipeline.core.source.reader_client import shared_reader


@contextmanager
def reading(published: Published, as_of: datetime) -> Iterator[Reader]:
    """A reader of one published generation.

    Args:
        published: The generation.
        as_of: The instant to speak for.
    """
    manifest = published.manifest
    path = Path(manifest.source.path)
    try:
        source_bytes = path.stat().st_size
    except OSError:
        source_bytes = manifest.source.size_bytes
    about = ReaderInfo(
        path=path,
        as_of=as_of,
        data_through=manifest.data_through,
        published_at=manifest.published_at,
        executions=manifest.executions,
        schema_version=manifest.source.schema_version,
        source_bytes=source_bytes,
        read_as=manifest.source.read_as,
    )
    reader = Reader(published, about)
    try:
        yield reader
    finally:
        reader.close()


@contextmanager
def published_reader(home: Home, as_of: datetime) -> Iterator[Reader]:
    """A reader of what is published now.

    Raises:
        NotPublishedError: Nothing is.
    """
    with Published(home) as published, reading(published, as_of) as reader:
        yield reader


@contextmanager
def database_reader(path: Path, config: MonitoringConfig, as_of: datetime) -> Iterator[Reader]:
    """A reader of a database, which the reader process looks into.

    Raises:
        SourceError: It cannot be read.
    """
    data = RemoteDatabase(shared_reader(), path, config, as_of)
    profile = data.profile
    about = ReaderInfo(
        path=path,
        as_of=as_of,
        data_through=as_of,
        published_at=None,
        executions=profile.rows,
        schema_version=profile.schema_version,
        source_bytes=profile.size_bytes,
        read_as=profile.read_as,
    )
    reader = Reader(data, about)
    try:
        yield reader
    finally:
        reader.close()
        data.close()


@contextmanager
def opened_reader(
    home: Home, config: MonitoringConfig, as_of: datetime, database: Path | None = None
) -> Iterator[Reader]:
    """A reader of what is published, or of a database that is named.

    Raises:
        NotPublishedError: Nothing is published.
        SourceError: The database cannot be read.
    """
    if database is None:
        with published_reader(home, as_of) as reader:
            yield reader
        return
    path = Path(os.path.abspath(expanded(database)))  # noqa: PTH100 - keeps a symlink's name
    with database_reader(path, config, as_of) as reader:
        yield reader
