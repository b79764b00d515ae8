"""What is no file is no source: reading it could wait for ever, before DuckDB could say a word."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from dbmon_pipeline.core.errors import SourceError

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def refuse_other_than_files(path: Path) -> None:
    """See that a source and its write-ahead log are files, as far as they are there.

    Looked at without being opened: whoever opens a pipe waits until another process writes to it.

    Raises:
        SourceError: One of them is not, or DuckDB cannot be given the name.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode(errors="replace")
        raise SourceError(f"the name of {shown} is not UTF-8", remedy="rename the file") from None
    for file in (path, path.with_name(f"{path.name}.wal")):
        try:
            kind = stat.S_IFMT(file.stat().st_mode)
        except OSError:
            continue
        if kind != stat.S_IFREG:
            raise SourceError(
                f"{file} is {_KINDS.get(kind, 'no file')}",
                remedy="name a DuckDB learning.db"
                if file == path
                else f"remove it; what lies beside {path.name} under this name is its log",
            )
