"""A source that is no file: whatever DuckDB can attach by an address (``source.attach``).

Its name is that address without a password, as a relative path, which no file's name is.
"""

from __future__ import annotations

import duckdb

from dbmon_pipeline.core.common.duck import quoted
from dbmon_pipeline.core.common.errors import ContractError, SourceError
from dbmon_pipeline.core.config.address import mask_secrets, remote_name


def attach_remote(cursor: duckdb.DuckDBPyConnection, address: str, extension: str | None) -> None:
    """Attach an address, and have its table as ``source.main.executions``.

    Raises:
        ContractError: It has no table ``executions``, or several.
        duckdb.Error: It cannot be attached, or the extension cannot be loaded.
    """
    if extension:
        cursor.execute(f"LOAD {extension}")
    cursor.execute(f"ATTACH {quoted(address)} AS remote (READ_ONLY)")
    try:
        schemas = cursor.execute(
            "SELECT schema_name FROM duckdb_tables()"
            " WHERE database_name = 'remote' AND table_name = 'executions'"
        ).fetchall()
        if len(schemas) != 1:
            raise ContractError(
                f"{remote_name(address)} has {len(schemas) or 'no'} tables 'executions'",
                remedy="name the database in which the orchestrator logs",
            )
        cursor.execute("ATTACH ':memory:' AS source")
        cursor.execute(
            f'CREATE VIEW source.main.executions AS FROM remote."{schemas[0][0]}".executions'
        )
    except BaseException:
        detach_remote(cursor)
        raise


def detach_remote(cursor: duckdb.DuckDBPyConnection) -> None:
    """Let it go."""
    for name in ("source", "remote"):
        cursor.execute(f"DETACH DATABASE IF EXISTS {name}")


def explain_remote(address: str, error: Exception) -> SourceError:
    """Explain why an address could not be attached or read."""
    name = str(remote_name(address))
    _, _, rest = address.partition(":")
    told = next(iter(str(error).splitlines()), "").replace(address, name)
    if len(rest) > len("://"):
        told = told.replace(rest, name.partition(":")[2])
    told = mask_secrets(told)
    return SourceError(
        f"{name} cannot be read ({told})",
        remedy="check source.attach, and that source.extension names the extension that it needs,"
        " once installed with INSTALL in the duckdb shell; the last published data stays",
    )
