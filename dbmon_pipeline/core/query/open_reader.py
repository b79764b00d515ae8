"""Readers of published data, or of a database that is named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from dbmon_pipeline.core.common.paths import absolute
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.query.answers import ReaderInfo
from dbmon_pipeline.core.query.database import RemoteDatabase
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.query.reader import Reader
from dbmon_pipeline.core.source.reader_client import shared_reader


@contextmanager
def reading(published: Published, as_of: datetime) -> Iterator[Reader]:
    """Open a reader of one published generation.

    Args:
        published: The generation.
        as_of: The instant to speak for.
    """
    with closing(Reader(published, describe(published, as_of))) as reader:
        yield reader


def describe(published: Published, as_of: datetime) -> ReaderInfo:
    """Describe a published generation as the data of a reader."""
    manifest = published.manifest
    path, source_bytes = Path(manifest.source.path), manifest.source.size_bytes
    with suppress(OSError):
        source_bytes = path.stat().st_size
    return ReaderInfo(
        path=path,
        as_of=as_of,
        data_through=manifest.data_through,
        published_at=manifest.published_at,
        executions=manifest.executions,
        schema_version=manifest.source.schema_version,
        source_bytes=source_bytes,
        read_as=manifest.source.read_as,
    )


@contextmanager
def published_reader(home: Home, as_of: datetime) -> Iterator[Reader]:
    """Open a reader of what is published now.

    Raises:
        NotPublishedError: Nothing is.
    """
    with Published(home) as published, reading(published, as_of) as reader:
        yield reader


@contextmanager
def database_reader(path: Path, config: MonitoringConfig, as_of: datetime) -> Iterator[Reader]:
    """Open a reader of a database, which is read in the reader process.

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
    with closing(data), closing(Reader(data, about)) as reader:
        yield reader


def opened_reader(
    home: Home, config: MonitoringConfig, as_of: datetime, database: Path | None = None
) -> AbstractContextManager[Reader]:
    """Open a reader of what is published, or of a database that is named.

    Raises:
        NotPublishedError: Nothing is published.
        SourceError: The database cannot be read.
    """
    if database is None:
        return published_reader(home, as_of)
    return database_reader(absolute(database), config, as_of)
