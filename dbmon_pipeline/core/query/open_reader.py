"""Readers of what is published, of a database that is named, or of whichever can be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from dbmon_pipeline.core.common.errors import NotPublishedError, SourceLockedError
from dbmon_pipeline.core.common.paths import expanded
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.query.answers import About
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.query.reader import Reader


@contextmanager
def reading(published: Published, as_of: datetime) -> Iterator[Reader]:
    """A reader of one published generation.

    Args:
        published: The generation.
        as_of: The instant to speak for.
    """
    manifest = published.manifest
    path = Path(str(manifest.source.get("path", "")))
    try:
        source_bytes = path.stat().st_size
    except OSError:
        source_bytes = int(str(manifest.source.get("size_bytes", 0)))
    about = About(
        path=path,
        as_of=as_of,
        data_through=manifest.data_through,
        published_at=manifest.published_at,
        executions=manifest.executions,
        schema_version=manifest.schema_version,
        source_bytes=source_bytes,
        from_snapshot=manifest.source.get("read_from") == "snapshot",
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
    """A reader of a database, which is looked into directly.

    Raises:
        SourceError: It cannot be read.
    """
    from dbmon_pipeline.core.warehouse.direct import (
        Direct,  # Much that only looking into a database needs.
    )

    data = Direct(path, config, as_of)
    about = About(
        path=path,
        as_of=as_of,
        data_through=as_of,
        published_at=None,
        executions=data.overview.rows,
        schema_version=data.overview.schema_version,
        source_bytes=int(str(data.source.identity["size_bytes"])),
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

    If its owner holds that database, what was published of it has to do.

    Raises:
        NotPublishedError: Nothing is published.
        SourceLockedError: The owner holds the database, and nothing is published of it.
        SourceError: The database cannot be read.
    """
    if database is None:
        with published_reader(home, as_of) as reader:
            yield reader
        return
    path = Path(os.path.abspath(expanded(database)))  # noqa: PTH100 - keeps a symlink's name
    with ExitStack() as stack:
        try:
            reader = stack.enter_context(database_reader(path, config, as_of))
        except SourceLockedError as locked:
            try:
                reader = stack.enter_context(published_reader(home, as_of))
            except NotPublishedError:
                raise locked from None
            if reader.about.path != path:
                raise
        yield reader
