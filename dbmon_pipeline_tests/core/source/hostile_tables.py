"""Databases with another schema than that of a learning database."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from dbmon_pipeline_tests.core.source.hostile_case import (
    AT,
    Case,
    Ends,
    as_owner,
    breaks_the_contract,
    read,
    row,
)
from dbmon_pipeline_tests.helpers import make_odd_source

CANARY = "424242424242"
"""Stands in a file beside the source that nobody has a reason to open."""
_NO_TABLE = "has no table 'executions': name the orchestrator's learning.db"


def _only(statements: list[str], path: Path) -> Ends:
    as_owner(path, *statements)
    return breaks_the_contract(_NO_TABLE)


def _good_after(statements: list[str], path: Path) -> Ends:
    """Change a good database in a way that is none of our business."""
    made = row()
    make_odd_source(path, [made])
    as_owner(path, *statements)
    return read(made)


def _canary(path: Path) -> str:
    canary = path.with_name("canary.csv")
    canary.write_text(f"key,value\nschema_version,{CANARY}\n")
    return str(canary)


def _view_of_a_file(path: Path) -> Ends:
    as_owner(path, f"CREATE VIEW executions AS FROM read_csv('{_canary(path)}')")
    return breaks_the_contract(_NO_TABLE)


def _view_of_parquet(path: Path) -> Ends:
    other = path.with_name("other.parquet")
    as_owner(
        path,
        f"COPY (SELECT 1 AS task_id) TO '{other}'",
        f"CREATE VIEW executions AS FROM read_parquet('{other}')",
    )
    return breaks_the_contract(_NO_TABLE)


def _view_of_a_pipe(path: Path) -> Ends:
    """Whoever binds the view opens the pipe, and waits for ever."""
    _view_of_a_file(path)
    path.with_name("canary.csv").unlink()
    os.mkfifo(path.with_name("canary.csv"))
    return breaks_the_contract(_NO_TABLE)


def _metadata_view_of_a_file(path: Path) -> Ends:
    return _good_after([f"CREATE VIEW metadata AS FROM read_csv('{_canary(path)}')"], path)


def _metadata_view_of_a_pipe(path: Path) -> Ends:
    ends = _metadata_view_of_a_file(path)
    path.with_name("canary.csv").unlink()
    os.mkfifo(path.with_name("canary.csv"))
    return ends


def _other_schema(path: Path) -> Ends:
    make_odd_source(path, [row()])
    as_owner(path, "CREATE SCHEMA old", "CREATE TABLE old.executions AS FROM main.executions")
    as_owner(path, "DROP TABLE main.executions")
    return breaks_the_contract(_NO_TABLE)


def _without(columns: list[str], path: Path) -> Ends:
    make_odd_source(path, [row()], **dict.fromkeys(columns))
    return breaks_the_contract("executions has no column " + ", ".join(map(repr, columns)))


def _of_type(column: str, kind: str, path: Path) -> Ends:
    make_odd_source(path, [], **{column: kind})
    return breaks_the_contract(rf"executions\.{column} is .*, which cannot be read as")


def _texts_of_types(path: Path) -> Ends:
    """Have any type in place of a text; it is read as DuckDB writes it."""
    made = row()
    kinds = {name: kind for name, (kind, _, _) in _AS_TEXT.items()}
    rest = {name: value for name, value in made.items() if name not in kinds}
    make_odd_source(path, [rest], **kinds)
    values = ", ".join(f"{name} = {value}" for name, (_, value, _) in _AS_TEXT.items())
    as_owner(path, f"UPDATE executions SET {values}")
    return read({**made, **{name: shown for name, (_, _, shown) in _AS_TEXT.items()}})


def _unreadable_enum(path: Path) -> Ends:
    """Have one value that cannot be read; most of a large column would be refused."""
    made = row()
    make_odd_source(path, [{**made, "duration_seconds": "long"}], duration_seconds="ENUM ('long')")
    return read({**made, "duration_seconds": None})


def _enum_dimensions(path: Path) -> Ends:
    made = [row(repo=name) for name in ("a", "o'brien \N{SNOWMAN}", "")]
    make_odd_source(path, made, repo="ENUM ('a', 'o''brien \N{SNOWMAN}', '')")
    return read(*made)


def _generated(path: Path) -> Ends:
    """Have columns that are computed whenever they are read."""
    made = {
        name: value
        for name, value in row(repo="a/b", duration_seconds=2.0, actual_cost=4.0).items()
        if name not in ("cost_estimate", "user_rating", "task_description", "quality_score")
    }
    computed = {
        "repo": "VARCHAR AS (task_type || '/b')",
        "actual_cost": "DOUBLE AS (duration_seconds * 2)",
        "timestamp": "TIMESTAMP AS (CAST(written AS TIMESTAMP))",
    }
    stored = {name: value for name, value in made.items() if name not in computed}
    stored |= {"written": str(AT), "task_type": "a"}
    as_owner(
        path,
        "CREATE TABLE executions (task_id VARCHAR, written VARCHAR, task_type VARCHAR,"
        " model_tier VARCHAR, pool_type VARCHAR, success BOOLEAN, duration_seconds DOUBLE,"
        f" {', '.join(f'{name} {how}' for name, how in computed.items())})",
        f"INSERT INTO executions ({', '.join(stored)})"
        f" VALUES ({', '.join(repr(value) for value in stored.values())})",
    )
    return read({**made, "task_type": "a"})


def _in_capitals(path: Path) -> Ends:
    made = row()
    make_odd_source(path, [made])
    for name in ("repo", "task_id", "timestamp"):
        as_owner(
            path,
            f"ALTER TABLE executions RENAME {name} TO other",
            f'ALTER TABLE executions RENAME other TO "{name.upper()}"',
        )
    as_owner(path, "ALTER TABLE executions RENAME TO other")
    as_owner(path, 'ALTER TABLE other RENAME TO "EXECUTIONS"')
    return read(made)


def _duplicates(path: Path) -> Ends:
    made = [row(task_id=name) for name in ("twice", "twice", None, None)]
    make_odd_source(path, made)
    return read(*made)


_NOT_THERE = {
    "nothing": ["SELECT 1"],
    "other tables": ["CREATE TABLE tasks (task_id VARCHAR)"],
    "a view of a table": ["CREATE TABLE t (a INTEGER)", "CREATE VIEW executions AS FROM t"],
    "a view of the system": ["CREATE VIEW executions AS FROM read_text('/etc/passwd')"],
    "a view of a view": ["CREATE VIEW v AS SELECT 1", "CREATE VIEW executions AS FROM v"],
    "a macro": ["CREATE MACRO executions() AS TABLE SELECT 1 AS task_id"],
    "a sequence and a type": [
        "CREATE SEQUENCE executions",
        "CREATE TYPE executions AS ENUM ('a')",
    ],
}
_NONE_OF_OUR_BUSINESS = {
    "1,000 more columns": [
        f"CREATE OR REPLACE TABLE executions AS SELECT *,"
        f" {', '.join(f'{n} AS extra_{n}' for n in range(1_000))} FROM executions"
    ],
    "columns of odd names and types": [
        f"ALTER TABLE executions ADD COLUMN {column}"
        for column in (
            *('"select" INTEGER', '"a""b" INTEGER', '"\n" INTEGER', '"$x" DATE'),
            *("u UNION(a INTEGER, b VARCHAR)", "m MAP(VARCHAR, INTEGER[])"),
        )
    ],
    "macros named like functions": [
        *("CREATE MACRO hash(x) AS 0", "CREATE MACRO isfinite(x) AS false"),
        *("CREATE MACRO date_trunc(a, b) AS NULL", "CREATE MACRO count(x) AS -1"),
    ],
    "a version that is no number": [
        "CREATE TABLE metadata (key VARCHAR, value VARCHAR)",
        "INSERT INTO metadata VALUES ('schema_version', 'one')",
    ],
    "metadata with numbered keys": [
        "CREATE TABLE metadata (key INTEGER, value VARCHAR)",
        "INSERT INTO metadata VALUES (1, 'a')",
    ],
    "metadata that fails": ["CREATE VIEW metadata AS SELECT error('no') AS key, 1 AS value"],
    "metadata that takes for ever": [
        "CREATE VIEW metadata AS SELECT 'schema_version' AS key, count(*) AS value"
        " FROM range(10000000) AS a, range(10000000) AS b"
    ],
}
_MADE: dict[str, Callable[[Path], Ends]] = {
    "a view of a file": _view_of_a_file,
    "a view of Parquet": _view_of_parquet,
    "a view of a pipe": _view_of_a_pipe,
    "metadata, a view of a file": _metadata_view_of_a_file,
    "metadata, a view of a pipe": _metadata_view_of_a_pipe,
    "executions in another schema": _other_schema,
    "columns missing": partial(_without, ["timestamp", "success"]),
    "an ENUM of no numbers": _unreadable_enum,
    "ENUM dimensions": _enum_dimensions,
    "generated columns": _generated,
    "capitals": _in_capitals,
    "ids twice": _duplicates,
}
_WRONG = {
    "timestamp": "UNION(a TIMESTAMP, b VARCHAR)",
    "success": "MAP(VARCHAR, BOOLEAN)",
    "duration_seconds": "INTERVAL[]",
    "quality_score": "STRUCT(score INTEGER)",
    "actual_cost": "BIT",
}
_AS_TEXT = {
    "task_id": ("STRUCT(a INTEGER)", "{'a': 1}", "{'a': 1}"),
    "task_type": ("INTEGER[]", "[1, NULL]", "[1, NULL]"),
    "repo": ("MAP(VARCHAR, INTEGER)", "MAP {'a': 1}", "{a=1}"),
    "model_tier": ("UNION(n INTEGER, s VARCHAR)", "union_value(s := 'x')", "x"),
    "pool_type": ("BLOB", r"'\xff\x00a'::BLOB", r"\xFF\x00a"),
    "swarm_topology": ("DOUBLE", "'nan'", "nan"),
    "error_type": ("INTEGER[3]", "[1, 2, 3]", "[1, 2, 3]"),
    "error_message": ("JSON", """'{"a":  1}'""", '{"a":  1}'),
    "solution_summary": ("DATE", "DATE '0044-03-15 (BC)'", "0044-03-15 (BC)"),
}

CASES = [
    *(Case(f"holds {name}", partial(_only, made)) for name, made in _NOT_THERE.items()),
    *(
        Case(f"holds {name}", partial(_good_after, made))
        for name, made in _NONE_OF_OUR_BUSINESS.items()
    ),
    *(Case(f"holds {name}", make) for name, make in _MADE.items()),
    *(Case(f"{name} is {kind}", partial(_of_type, name, kind)) for name, kind in _WRONG.items()),
    Case("texts are of any type", _texts_of_types),
]
"""Every odd schema."""
