"""Health of the source file, looked at without opening it as a database.

Nobody who merely asks how things are may keep the orchestrator from writing: the file's head is
read, and the system is asked who holds its lock. Asking takes no lock.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dbmon_pipeline.core.common.duck import not_a_database
from dbmon_pipeline.core.common.errors import SourceError
from dbmon_pipeline.core.config.address import is_remote
from dbmon_pipeline.core.source.file_check import check_file
from dbmon_pipeline.core.source.file_lock import writing_process


@dataclass(frozen=True)
class SourceHealth:
    """What can be seen of a source from outside.

    Attributes:
        problem: Why it cannot be read, None if nothing speaks against it.
        writer: The process that holds it open for writing, None if none does.
    """

    problem: SourceError | None
    writer: str | None


def look_at(path: Path) -> SourceHealth:
    """Look at a source from outside."""
    try:
        check_file(path)
        if is_remote(path) or path.is_dir():
            return SourceHealth(None, None)
        if problem := not_a_database(path):
            raise problem
        return SourceHealth(None, _writer(path))
    except SourceError as error:
        return SourceHealth(error, None)


def _writer(path: Path) -> str | None:
    """Who holds the write lock of a file; this process must not have it open."""
    with path.open("rb") as file:
        process = writing_process(file)
    if process is None:
        return None
    if process <= 0:  # outside of the container that this process is in
        return "another process"
    name = _name(process)
    return f"{name} (process {process})" if name else f"process {process}"


def _name(process: int) -> str | None:
    """The name of a process; of another user's the system tells the short one only."""
    try:
        return Path(f"/proc/{process}/exe").readlink().name
    except OSError:
        with suppress(OSError):
            return Path(f"/proc/{process}/comm").read_text("utf-8").strip()
    return None
