"""Holder of a file's write lock, as the system reports it; asking takes no lock."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from typing import BinaryIO

_LAYOUT = "hhqqi4x" if sys.platform == "linux" else "qqihh"
"""The C structure ``flock`` of fcntl(2): type, whence, start, length, process; on macOS start,
length, process, type, whence."""


def writing_process(file: BinaryIO) -> int | None:
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
