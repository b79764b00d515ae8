"""Whether a rival's tables are ours, row for row: only then is its time a yardstick.

The rivals keep the secrets in error messages, which are taken out here before the comparison.
``python -m ...equal HOME TABLES`` says in JSON how many rows of each are equal, and of how many.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import duckdb

from dbmon_pipeline.core.common.duck import connect, quoted
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.schema.catalogue import TABLES as PUBLISHED
from dbmon_pipeline.core.source.redaction import Redactor
from dbmon_pipeline_tests.benchmarks.refresh.rivals import TABLES

_CLOSE = (
    "(ours.{0} IS NOT DISTINCT FROM theirs.{0} OR"
    " abs(ours.{0} - theirs.{0}) <= 1e-9 * abs(ours.{0}))"
)


def equal_rows(home: Home, tables: Path) -> dict[str, tuple[int, int]]:
    """Per table, how many rows are equal (sums of floats to 1e-9), and of how many in either."""
    with connect() as con:
        # SQLMesh's views name the catalogue that they were made in.
        con.execute(f"ATTACH {quoted(tables)} AS tables (READ_ONLY)")
        return {name: _compared(con, name, home.current.resolve()) for name in TABLES}


def _compared(con: duckdb.DuckDBPyConnection, name: str, published: Path) -> tuple[int, int]:
    ours = f"read_parquet({quoted(published / name / '*.parquet')})"
    types = {column: kind for column, kind, *_ in con.execute(f"DESCRIBE FROM {ours}").fetchall()}
    key = PUBLISHED[name].key
    same = " AND ".join(f"ours.{column} = theirs.{column}" for column in key)
    equal = " AND ".join(
        _CLOSE.format(column)
        if kind == "DOUBLE"
        else f"ours.{column} IS NOT DISTINCT FROM {_theirs(column, con)}"
        for column, kind in types.items()
        if column not in key
    )
    ours_key = ", ".join(f"ours.{column}" for column in key)
    [(rows, total)] = con.execute(
        f"SELECT count(DISTINCT ({ours_key})) FILTER (WHERE ours.{key[0]} IS NOT NULL AND"
        f" theirs.{key[0]} IS NOT NULL AND {equal}), count(*)"
        f" FROM {ours} AS ours FULL JOIN tables.main.{name} AS theirs ON {same}"
    ).fetchall()
    return rows, total


def _theirs(column: str, con: duckdb.DuckDBPyConnection) -> str:
    if column != "example_message":
        return f"theirs.{column}"
    redactor = Redactor(Settings.load(environ={}).config.redaction, con)
    return redactor.expression(f"theirs.{column}")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(equal_rows(Home(Path(sys.argv[1])), Path(sys.argv[2]))))
