"""Loader of a file of executions into a new learning database.

Reading and casting are DuckDB's; here is what a person is told when it cannot.
"""

from __future__ import annotations

import glob
import logging
from pathlib import Path

import duckdb

from dbmon_pipeline.core.common.errors import LoadError
from dbmon_pipeline.core.learning_db.create import creating
from dbmon_pipeline.core.schema.executions import COLUMNS

_CSV = "read_csv($file, all_varchar = true, header = true, quote = '\"', escape = '\"'"
_JSON = "read_json($file, format = 'auto', hive_partitioning = false, columns = {columns})"
_READERS = {
    ".parquet": "read_parquet($file, hive_partitioning = false)",
    ".csv": f"{_CSV}, hive_partitioning = false)",
    ".tsv": f"{_CSV}, hive_partitioning = false, delim = '\t')",
    ".json": _JSON,
    ".jsonl": _JSON,
    ".ndjson": _JSON,
}
"""The reader of each kind of file. Text stays text, so that all kinds are cast alike."""

logger = logging.getLogger(__name__)


def load(file: Path, path: Path) -> int:
    """Make a learning database of the executions in a file, all of them or none.

    The columns are known by their names in the schema. What the file lacks is NULL, what the
    schema lacks is left out with a warning, and a timestamp with an offset is turned into UTC.

    Args:
        file: Parquet, CSV (comma or tab) or JSON (an array, or one object a line).
        path: The database to make.

    Returns:
        How many executions were loaded.

    Raises:
        LoadError: The file cannot be read, is empty, lacks a required column, holds a value that
            cannot be cast, or has an execution without an id or two with the same one.
        SourceError: Something already lies at ``path``.
        StorageError: The database cannot be written.
    """
    _refuse_at_sight(file)
    with creating(path, relaxed=True) as con:
        types = {str(row[0]): str(row[1]) for row in con.execute("DESCRIBE executions").fetchall()}
        names = _known(file, _names(con, file), types)
        _fill(con, file, {name: types[name] for name in names})
        return _checked_count(con, file)


def _refuse_at_sight(file: Path) -> None:
    """Refuse a file that no reader is needed to refuse."""
    if file.suffix.lower() not in _READERS:
        raise LoadError(
            f"{file} is of an unsupported file type",
            remedy=f"give it one of the endings {' '.join(_READERS)}",
        )
    if not file.exists():
        raise LoadError(f"{file} does not exist", remedy="name an existing file")
    if not file.is_file():
        raise LoadError(f"{file} is not a file", remedy="load one file at a time")
    if file.stat().st_size == 0:
        raise LoadError(f"{file} is empty", remedy="export the executions again")


def _names(con: duckdb.DuckDBPyConnection, file: Path) -> list[str]:
    """List the column names of the file."""
    reader = _READERS[file.suffix.lower()]
    try:
        if reader is _JSON:
            rows = con.execute(
                "SELECT DISTINCT unnest(json_keys(json))"
                " FROM read_json_objects($file, format = 'auto')",
                _argument(file),
            ).fetchall()
        else:
            rows = con.execute(f"DESCRIBE FROM {reader}", _argument(file)).fetchall()
    except duckdb.Error as error:
        raise _unreadable(file, error) from None
    return [str(row[0]) for row in rows]


def _known(file: Path, names: list[str], types: dict[str, str]) -> list[str]:
    """List the file's columns that the schema has, in its order."""
    missing = [column.name for column in COLUMNS if column.required and column.name not in names]
    if missing:
        raise LoadError(
            f"{file} has no column {', '.join(missing)}",
            remedy="name its columns as the schema does, see sql/source/executions.sql",
        )
    if extra := sorted(set(names) - set(types)):
        logger.warning("%s: left out what the schema does not have: %s", file, ", ".join(extra))
    return [name for name in types if name in names]


def _fill(con: duckdb.DuckDBPyConnection, file: Path, types: dict[str, str]) -> None:
    """Insert every row of the file."""
    reader = _READERS[file.suffix.lower()].format(columns=dict.fromkeys(types, "VARCHAR"))
    values = ", ".join(f"{_cast('CAST', name, type_)} AS {name}" for name, type_ in types.items())
    try:
        con.execute(
            f"INSERT INTO executions BY NAME SELECT {values} FROM {reader}",
            _argument(file),
        )
    except duckdb.ConversionException as error:
        raise _uncastable(con, file, types, reader) or _unreadable(file, error) from None
    except (duckdb.IOException, duckdb.FatalException, duckdb.OutOfMemoryException):
        raise
    except duckdb.Error as error:
        raise _unreadable(file, error) from None


def _cast(cast: str, name: str, type_: str) -> str:
    """Write SQL that casts a column; straight to TIMESTAMP, a text would lose its offset."""
    zoned = f"{cast}({name} AS TIMESTAMPTZ)" if type_ == "TIMESTAMP" else name
    return f"{cast}({zoned} AS {type_})"


def _uncastable(
    con: duckdb.DuckDBPyConnection, file: Path, types: dict[str, str], reader: str
) -> LoadError | None:
    """Find the value that stopped an insert."""
    bad = ", ".join(
        f"any_value(CAST({name} AS VARCHAR)) FILTER ({_fails(name, type_)})"
        for name, type_ in types.items()
    )
    found = con.execute(f"SELECT {bad} FROM {reader}", _argument(file)).fetchone()
    for (name, type_), value in zip(types.items(), found or (), strict=False):
        if value is not None:
            return LoadError(
                f"{file}: {value[:80]!r} in column {name} is no {type_}",
                remedy="correct the value, or leave it empty",
            )
    return None


def _fails(name: str, type_: str) -> str:
    """Write SQL that tells whether a cast gives NULL, for the list itself or one of its items."""
    cast = _cast("TRY_CAST", name, type_)
    if type_.endswith("[]"):
        return f"coalesce(list_contains([item IS NULL FOR item IN {cast}], true), true)"
    return f"{cast} IS NULL"


def _checked_count(con: duckdb.DuckDBPyConnection, file: Path) -> int:
    """Count the inserted executions, and check that each has an id of its own."""
    rows, ids = con.execute("SELECT count(*), count(task_id) FROM executions").fetchall()[0]
    if not rows:
        raise LoadError(
            f"{file} holds no executions", remedy="use 'dbmon init' for an empty learning database"
        )
    if ids < rows:
        raise LoadError(
            f"{file}: {rows - ids} of {rows} executions have no task_id",
            remedy="give each execution an id of its own",
        )
    repeated = con.execute(
        "SELECT task_id FROM executions GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL LIMIT 3"
    ).fetchall()
    if repeated:
        raise LoadError(
            f"{file}: task_id {', '.join(row[0] for row in repeated)} occurs more than once",
            remedy="give each execution an id of its own, or remove the copies",
        )
    return int(rows)


def _argument(file: Path) -> dict[str, str]:
    """Return the file as a reader's parameter, with pattern characters escaped."""
    return {"file": glob.escape(str(file.absolute()))}


def _unreadable(file: Path, error: duckdb.Error) -> LoadError:
    kind, reason = file.suffix.lower().lstrip("."), " ".join(str(error).split())[:200]
    return LoadError(
        f"{file} cannot be read as {kind} ({reason})",
        remedy="export the executions again, or give the file the ending of what it is",
    )
