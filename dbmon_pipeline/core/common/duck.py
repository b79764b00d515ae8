"""DuckDB connections, set up the same way everywhere, and its errors in our own words."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from dbmon_pipeline.core.common.errors import SourceError, SourceLockedError, StorageError
from dbmon_pipeline.core.common.rows import Rows

STORAGE_VERSION = "v1.4.0"
"""The oldest file format that every supported DuckDB reads; newer ones default to their own."""

CATALOGUE = "opened"
"""The name under which :func:`connect` attaches a file."""

_MAGIC_AT = slice(8, 12)
_SQLITE = b"SQLite format 3"
_OF_THE_DISK = (
    duckdb.IOException,
    duckdb.FatalException,
    duckdb.OutOfMemoryException,
    OSError,
)
_FULL = ("no space left", "out of space", "file too large", "disk quota exceeded")
_DAMAGED = (
    "Corrupt database file",
    "Could not read enough bytes",
    "not a valid DuckDB database file",
)


def connect(
    database: Path | None = None, *, threads: int | None = None
) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB, with a database file attached as the default catalogue.

    Extensions are never fetched and times are UTC.

    Args:
        database: A file that is made if it does not exist, or None for memory alone.
        threads: How many threads it may use; all cores by default.

    Raises:
        duckdb.Error: The file cannot be opened.
    """
    con = duckdb.connect(
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            **({"threads": str(threads)} if threads else {}),
        }
    )
    con.execute("SET GLOBAL TimeZone = 'UTC'; SET enable_progress_bar = false")
    if database is not None:
        try:
            con.execute(f"SET temp_directory = {quoted(f'{database}.tmp')}")
            con.execute(
                f"ATTACH {quoted(database)} AS {CATALOGUE} (STORAGE_VERSION '{STORAGE_VERSION}')"
            )
            con.execute(f"USE {CATALOGUE}")
        except duckdb.Error:
            con.close()
            raise
    return con


def fetch_rows(cursor: duckdb.DuckDBPyConnection) -> Rows:
    """Fetch the result of a statement, with the names of its columns."""
    return Rows(tuple(column[0] for column in cursor.description or ()), cursor.fetchall())


def quoted(text: object) -> str:
    """Quote a text as a SQL string literal, for the places that take no parameter."""
    return "'" + str(text).replace("'", "''") + "'"


def log_path(database: Path, suffix: str = ".wal") -> Path:
    """Name the log of a database file, as DuckDB does.

    It lies beside the real file, and the suffix goes before the first ``?`` of the path.
    """
    stem, mark, rest = os.path.realpath(database).partition("?")
    return Path(stem + suffix + mark + rest)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Translate a failure of the home's own files into a storage error.

    Raises:
        StorageError: DuckDB or the system could not read or write below ``path``.
    """
    try:
        yield
    except (duckdb.Error, OSError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        if any(words in first for words in _DAMAGED):
            raise StorageError(
                f"{path} is damaged or cut short ({first})",
                remedy="restore it from a backup, or remove it to have it made anew;"
                " nothing published was lost",
            ) from error
        if not isinstance(error, _OF_THE_DISK) and "Could not write file" not in first:
            raise
        full = any(words in first.lower() for words in _FULL)
        raise StorageError(
            f"{path} cannot be written or read ({first})",
            remedy="free some space on that disk and repeat; nothing published was lost"
            if full
            else "check the disk and the permissions, then repeat; nothing published was lost",
        ) from error


def explain_source(path: Path, error: duckdb.Error | UnicodeDecodeError) -> SourceError:
    """Explain why a source could not be opened or read."""
    text = str(error).splitlines()[0]
    holder = re.search(r"held in (\S+) \(PID (\d+)\)", text)
    if "Could not set lock" in text:
        who = f"{Path(holder[1]).name} (process {holder[2]})" if holder else "another process"
        return SourceLockedError(
            f"{path} is locked: {who} holds it open for writing",
            remedy="repeat when that process has closed it; the last published data stays",
        )
    if "with version number" in text or "storage version" in text or "Serialized version" in text:
        return SourceError(
            f"{path} was written by a newer DuckDB than {duckdb.__version__} ({text})",
            remedy="upgrade duckdb in this environment",
        )
    if "encrypted database" in text:
        return SourceError(f"{path} is encrypted", remedy="name a copy of it that is not")
    if isinstance(error, duckdb.OutOfMemoryException):
        return SourceError(
            f"{path} does not fit into memory ({text})",
            remedy="allow this process more; the last published data stays",
        )
    if problem := not_a_database(path):
        return problem
    return SourceError(
        f"{path} is damaged or cut short ({text})",
        remedy="restore it from a backup or copy it again; the last published data stays",
    )


def not_a_database(path: Path) -> SourceError | None:
    """Tell by its head what a file is instead of a DuckDB database; None if it looks like one."""
    head = b""
    with suppress(OSError), path.open("rb") as file:
        head = file.read(64)
    if head.startswith(_SQLITE):
        return SourceError(f"{path} is a SQLite database", remedy="name a DuckDB learning.db")
    if head[_MAGIC_AT] != b"DUCK":
        return SourceError(f"{path} is not a DuckDB database", remedy="name a DuckDB learning.db")
    return None
