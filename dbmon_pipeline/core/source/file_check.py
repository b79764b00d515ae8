"""The source as a file, or a folder of files: looked at before DuckDB opens it."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from dbmon_pipeline.core.common.duck import log_path
from dbmon_pipeline.core.common.errors import SourceError
from dbmon_pipeline.core.config.address import is_remote
from dbmon_pipeline.core.source.live_view import CHECKPOINT_LOG
from dbmon_pipeline.core.source.parquet_folder import folder_signature, parquet_files, stamp

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_LARGEST_LOG = 1 << 30
"""Bytes of a write-ahead log, which is held in memory while a file is read."""


def printable(path: Path) -> str:
    """A path as text, whatever bytes it has."""
    return os.fsencode(path).decode(errors="replace")


def refuse_unreadable_name(path: Path) -> None:
    """Refuse a source whose name neither DuckDB nor the reader process can be given.

    Raises:
        SourceError: It is not UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise SourceError(
            f"the name of {printable(path)} is not UTF-8", remedy="rename the file"
        ) from None


def check_file(path: Path) -> None:
    """See that a source is a readable file with something in it, or a folder with such files.

    Raises:
        SourceError: It is not.
    """
    if is_remote(path):
        return
    if path.is_dir():
        parquet_files(path)
        return
    refuse_unreadable_name(path)
    for file in (path, log_path(path), log_path(path, CHECKPOINT_LOG)):
        _refuse_other_than_file(file, path)
    try:
        with path.open("rb") as head:
            if not head.read(1):
                raise SourceError(f"{path} is an empty file", remedy="name a DuckDB learning.db")
    except OSError as error:
        raise unreachable(path, error) from None


def _refuse_other_than_file(file: Path, source: Path) -> None:
    """See that a source or its log is a file, as far as it is there.

    Looked at without being opened: whoever opens a pipe waits until another process writes to it.

    Raises:
        SourceError: It is not, or it is too large a log.
    """
    try:
        found = file.stat()
    except OSError:
        return
    kind = stat.S_IFMT(found.st_mode)
    if kind != stat.S_IFREG:
        raise SourceError(
            f"{file} is {_KINDS.get(kind, 'no file')}",
            remedy="name a DuckDB learning.db"
            if file == source
            else f"remove it; what lies beside {source.name} under this name is its log",
        )
    if file != source and found.st_size > _LARGEST_LOG:
        raise SourceError(
            f"{file}, the log of {source.name}, has {found.st_size / 1e9:,.1f} GB",
            remedy=f"have the owner of {source.name} write it back with CHECKPOINT",
        )


def signature(path: Path) -> str:
    """A text that changes whenever the source is written, from file metadata alone.

    Of what is no file nobody knows; the text is another one each time.

    Raises:
        SourceError: The source is not there.
    """
    if is_remote(path):
        return str(time.time_ns())
    if path.is_dir():
        return folder_signature(path)
    stamps = []
    for file in (path, log_path(path)):
        try:
            stamps.append(stamp(file.stat()))
        except OSError as error:
            if file == path or not isinstance(error, FileNotFoundError):
                raise unreachable(path, error) from None
    return " ".join(stamps)


def unreachable(path: Path, error: OSError) -> SourceError:
    """Explain why a source cannot be reached."""
    if isinstance(error, PermissionError):
        return SourceError(
            f"{path} may not be read by user {os.getuid()}", remedy="grant read permission on it"
        )
    if isinstance(error, FileNotFoundError):
        return SourceError(
            f"{path} does not exist",
            remedy="name the learning.db with --source or DBMON_SOURCE, or run dbmon sample",
        )
    return SourceError(f"{path} cannot be read ({error})", remedy="check the path and the disk")
