"""Creation of a learning database: empty, or filled from a file.

The pipeline itself never writes to a source; these are the commands that make one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from dbmon_pipeline.core.common.duck import connect, log_path, storage_errors
from dbmon_pipeline.core.common.errors import SourceError
from dbmon_pipeline.core.common.instants import utc_now
from dbmon_pipeline.core.common.shipped import sql

SCHEMA_VERSION = 1
"""The version of the source schema that ``dbmon init`` makes."""


def create(path: Path) -> None:
    """Make an empty learning database with the founding schema.

    Raises:
        SourceError: Something already lies at ``path``.
        StorageError: The file cannot be written.
    """
    with creating(path):
        pass


@contextmanager
def creating(path: Path, *, relaxed: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """Make a learning database and fill it; the file appears whole at the end, or not at all.

    Args:
        path: The file to make.
        relaxed: Whether executions may leave any column empty and have ids and embeddings of any
            kind, as real ones do.

    Yields:
        A connection whose default catalogue is the new database, without indexes as yet: they
        are built after the rows.

    Raises:
        SourceError: Something already lies at ``path``.
        StorageError: The file cannot be written.
    """
    _refuse_existing(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with storage_errors(path):
            con = connect(draft)
            try:
                _run(con, "executions", *(["relaxed"] if relaxed else []), "metadata", "views")
                con.execute(
                    "INSERT INTO metadata VALUES ('schema_version', $version, $at)",
                    {"version": str(SCHEMA_VERSION), "at": utc_now()},
                )
                yield con
                _run(con, "indexes")
                con.execute("CHECKPOINT")
            finally:
                con.close()
            _refuse_existing(path)
            draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
        log_path(draft).unlink(missing_ok=True)


def _refuse_existing(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise SourceError(f"{path} already exists", remedy="name a new file; none is overwritten")


def _run(con: duckdb.DuckDBPyConnection, *files: str) -> None:
    for file in files:
        for statement in con.extract_statements(sql("source", file)):
            con.execute(statement)
