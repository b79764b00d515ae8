"""Health of the source file, seen without opening it as a database.

The file's head is read, and the system is asked who holds its lock; asking takes none.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from dbmon_pipeline.core.common.duck import not_a_database
from dbmon_pipeline.core.common.errors import SourceError
from dbmon_pipeline.core.config.address import is_remote
from dbmon_pipeline.core.source.file_check import check_file
from dbmon_pipeline.core.source.reader_client import shared_reader

_LAYOUT = "hhqqi4x" if sys.platform == "linux" else "qqihh"
"""The C structure ``flock`` of fcntl(2): type, whence, start, length, process; on macOS start,
length, process, type, whence."""


class SourceHealth(msgspec.Struct, frozen=True):
    """Health of a source, as far as it can be seen from outside.

    Attributes:
        problem: Why it cannot be read, None if nothing speaks against it.
        remedy: What to do about that.
        writer: The process that holds it open for writing, None if none does.
    """

    problem: str | None = None
    remedy: str | None = None
    writer: str | None = None

    @property
    def error(self) -> SourceError | None:
        """The problem as an error."""
        if self.problem is None:
            return None
        return SourceError(self.problem, remedy=self.remedy or "")


def inspect_source(path: Path) -> SourceHealth:
    """Look at a source from outside, in a process that does not own it.

    Closing any descriptor of a file drops the locks that this process has on it.
    """
    try:
        check_file(path)
        if is_remote(path) or path.is_dir():
            return SourceHealth()
        if problem := not_a_database(path):
            raise problem
        return SourceHealth(writer=_writer(path))
    except SourceError as error:
        return SourceHealth(problem=error.message, remedy=error.remedy)


def source_health(path: Path) -> SourceHealth:
    """Have the reader process look at a source from outside.

    Raises:
        ReaderError: The process failed.
    """
    answer = shared_reader().request("inspect_source", {"path": str(path)}, retries=1)
    return msgspec.convert(answer, SourceHealth)


def _writer(path: Path) -> str | None:
    """Name the holder of a file's write lock; this process must not have the file open."""
    with path.open("rb") as file:
        process = _writing_process(file)
    if process is None:
        return None
    if process <= 0:  # outside of the container that this process is in
        return "another process"
    about = Path(f"/proc/{process}")
    with suppress(OSError):
        return f"{(about / 'exe').readlink().name} (process {process})"
    with suppress(OSError):  # of another user's process the system tells the short name only
        return f"{(about / 'comm').read_text('utf-8').strip()} (process {process})"
    return f"process {process}"


def _writing_process(file: BinaryIO) -> int | None:
    """The process that holds the write lock of an open file, None if none does.

    Closing the file ends the locks that this process has on it, so it must not have it open
    elsewhere.

    Returns:
        Its number; not positive if it is outside of the container that this process is in.
    """
    read_lock = (
        struct.pack(_LAYOUT, fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        if sys.platform == "linux"
        else struct.pack(_LAYOUT, 0, 0, 0, fcntl.F_RDLCK, os.SEEK_SET)
    )
    told = struct.unpack(_LAYOUT, fcntl.fcntl(file, fcntl.F_GETLK, read_lock))
    kind, process = (told[0], told[4]) if sys.platform == "linux" else (told[3], told[2])
    return None if kind == fcntl.F_UNLCK else process
