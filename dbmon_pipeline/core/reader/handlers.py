"""The requests that the reader process answers."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from dbmon_pipeline.core.reader.serve import Handler, Progress


def _ping(_params: dict[str, Any], _progress: Progress) -> dict[str, int]:
    """Tell the number of this process."""
    return {"process": os.getpid()}


def _inspect_source(params: dict[str, Any], _progress: Progress) -> object:
    """Look at a source from outside, without opening it as a database."""
    from dbmon_pipeline.core.source.health import inspect_source

    return inspect_source(Path(params["path"]))


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


def _open_database(params: dict[str, Any], _progress: Progress) -> object:
    """Look over a database; its number is for the requests that follow."""
    import msgspec

    from dbmon_pipeline.core.config.monitoring import MonitoringConfig
    from dbmon_pipeline.core.reader.database import OPEN, OpenDatabase

    config = msgspec.convert(params["config"], MonitoringConfig)
    as_of = datetime.fromisoformat(params["as_of"])
    database = OpenDatabase(Path(params["path"]), config, as_of)
    OPEN[database.number] = database
    return {"number": database.number, "profile": database.profile}


def _ask_database(params: dict[str, Any], _progress: Progress) -> object:
    """Run a statement over a window of an open database.

    Raises:
        ReaderDiedError: A process before this one had opened it.
    """
    from dbmon_pipeline.core.common.errors import ReaderDiedError
    from dbmon_pipeline.core.query.ranges import Window
    from dbmon_pipeline.core.reader.database import OPEN
    from dbmon_pipeline.core.source.reader_protocol import decode_value

    database = OPEN.get(params["number"])
    if database is None:
        raise ReaderDiedError("the database is not open any more", remedy="open it again")
    start, end = (datetime.fromisoformat(params[name]) for name in ("start", "end"))
    window = Window(start, end, from_rows=True)
    return database.ask(window, params["select"], decode_value(params["values"]))


def _close_database(params: dict[str, Any], _progress: Progress) -> None:
    """Let go of an open database; one that a process before this one had is gone already."""
    from dbmon_pipeline.core.reader.database import OPEN

    if database := OPEN.pop(params["number"], None):
        database.close()


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
