"""The requests that the reader process answers."""

from __future__ import annotations

import os
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any

from dbmon_pipeline.core.reader.serve import Handler, Progress

_ENGINE_BROKEN = 70
"""The exit code after DuckDB gave up over a block that its owner had overwritten."""


def _needs_engine(handler: Handler) -> Handler:
    """End the process, whose death counts as a reading thrown away, if the engine is broken."""

    @wraps(handler)
    def guarded(params: dict[str, Any], progress: Progress) -> object:
        from dbmon_pipeline.core.source.live_file import EngineBrokenError

        try:
            return handler(params, progress)
        except EngineBrokenError:
            os._exit(_ENGINE_BROKEN)

    return guarded


def _ping(_params: dict[str, Any], _progress: Progress) -> dict[str, int]:
    """Tell the number of this process."""
    return {"process": os.getpid()}


def _inspect_source(params: dict[str, Any], _progress: Progress) -> object:
    """Look at a source from outside, without opening it as a database."""
    from dbmon_pipeline.core.source.health import inspect_source

    return inspect_source(Path(params["path"]))


@_needs_engine
def _roll_up(params: dict[str, Any], progress: Progress) -> object:
    """Write the tables of a draft."""
    import msgspec

    from dbmon_pipeline.core.changes.request import RefreshRequest
    from dbmon_pipeline.core.config.monitoring import MonitoringConfig
    from dbmon_pipeline.core.generation.generation import Generation
    from dbmon_pipeline.core.reader.refresh import roll_up_source
    from dbmon_pipeline.core.schema.manifest import read_manifest

    folder = Path(params["before"]) if params["before"] else None
    return roll_up_source(
        Path(params["source"]),
        msgspec.convert(params["config"], MonitoringConfig),
        msgspec.convert(params["request"], RefreshRequest),
        Path(params["draft"]),
        Generation(folder, read_manifest(folder)) if folder else None,
        progress,
    )


@_needs_engine
def _open_database(params: dict[str, Any], _progress: Progress) -> object:
    """Look over a database; its number is for the requests that follow."""
    import msgspec

    from dbmon_pipeline.core.config.monitoring import MonitoringConfig
    from dbmon_pipeline.core.reader.database import open_database

    return open_database(
        Path(params["path"]),
        msgspec.convert(params["config"], MonitoringConfig),
        datetime.fromisoformat(params["as_of"]),
    )


@_needs_engine
def _ask_database(params: dict[str, Any], _progress: Progress) -> object:
    """Run a statement over a window of an open database."""
    from dbmon_pipeline.core.query.ranges import Window
    from dbmon_pipeline.core.reader.database import database
    from dbmon_pipeline.core.source.reader_protocol import decode_values

    start, end = (datetime.fromisoformat(params[name]) for name in ("start", "end"))
    values = decode_values(params["values"])
    return database(params["number"]).ask(
        Window(start, end, from_rows=True), params["select"], values
    )


def _close_database(params: dict[str, Any], _progress: Progress) -> None:
    """Let go of an open database; one that a process before this one had is gone already."""
    from dbmon_pipeline.core.reader.database import close_database

    close_database(params["number"])


@_needs_engine
def _archive_rows(params: dict[str, Any], _progress: Progress) -> object:
    """Write old rows of a source to files."""
    import msgspec

    from dbmon_pipeline.core.config.monitoring import SourceLimits
    from dbmon_pipeline.core.reader.archive import archive_rows

    return archive_rows(
        Path(params["source"]),
        msgspec.convert(params["limits"], SourceLimits),
        datetime.fromisoformat(params["end"]),
        Path(params["out"]),
        Path(params["workshop"]),
    )


HANDLERS: dict[str, Handler] = {
    "ping": _ping,
    "inspect_source": _inspect_source,
    "roll_up": _roll_up,
    "open_database": _open_database,
    "ask_database": _ask_database,
    "close_database": _close_database,
    "archive_rows": _archive_rows,
}
