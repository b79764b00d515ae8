"""A folder of Parquet files as a source: its owner exports into it, and nobody holds a lock."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from dbmon_pipeline.core.common.errors import SourceError


def parquet_files(folder: Path) -> list[Path]:
    """The files of a folder and those below it, in order; hidden ones are still being written.

    Raises:
        SourceError: There is none, or the folder cannot be read.
    """
    try:
        found = sorted(
            path
            for path in folder.rglob("*.parquet")
            if path.is_file()
            and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        )
    except OSError as error:
        raise SourceError(
            f"{folder} cannot be read ({error})", remedy="check the folder and its permissions"
        ) from None
    if not found:
        raise SourceError(
            f"{folder} is a folder without Parquet files",
            remedy="name the learning.db inside it, or export executions into it as *.parquet",
        )
    return found


def folder_bytes(folder: Path) -> int:
    """The size of the files of a folder.

    Raises:
        SourceError: There is none.
    """
    return sum(path.stat().st_size for path in parquet_files(folder))


def folder_signature(folder: Path) -> str:
    """A text that changes whenever a file of a folder does, from file metadata alone.

    Raises:
        SourceError: There is none.
    """
    digest = hashlib.sha256()
    for path in parquet_files(folder):
        digest.update(f"{path}:{stamp(path.stat())}\n".encode())
    return digest.hexdigest()


def stamp(stat: os.stat_result) -> str:
    """Write the metadata of a file that change whenever it is written or replaced."""
    return f"{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}"
