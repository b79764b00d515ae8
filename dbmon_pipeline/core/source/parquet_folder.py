"""A folder of Parquet files as a source: its owner exports into it, and nobody holds a lock."""

from __future__ import annotations

import hashlib
from glob import escape
from pathlib import Path

import duckdb

from dbmon_pipeline.core.common.duck import quoted
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


def attach_folder(cursor: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Have the files of a folder as ``source.main.executions``; their columns go by name.

    Raises:
        SourceError: There is none.
        duckdb.Error: One of them is no Parquet file, or types do not go together.
    """
    paths = ", ".join(quoted(escape(str(path))) for path in parquet_files(folder))
    cursor.execute("ATTACH ':memory:' AS source")
    try:
        cursor.execute(
            "CREATE VIEW source.main.executions AS FROM"
            f" read_parquet([{paths}], union_by_name = true, hive_partitioning = false)"
        )
    except duckdb.Error:
        cursor.execute("DETACH source")
        raise


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
        stat = path.stat()
        digest.update(f"{path}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def explain_folder(folder: Path, error: Exception) -> SourceError:
    """Explain why a folder could not be read."""
    return SourceError(
        f"{folder} holds a file that cannot be read ({str(error).splitlines()[0]})",
        remedy="write each file under a name that begins with a dot, and rename it when it is whole"
        "; the last published data stays",
    )
