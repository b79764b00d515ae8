"""The schema contract: which tables are read, and what each value of DuckDB's types becomes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.common.errors import ContractError
from dbmon_pipeline.core.schema.executions import COLUMNS, Column, Role
from dbmon_pipeline.core.source.contract import SourceSchema, inspect

AT = datetime(2026, 2, 10, 9, 30)
REQUIRED = [column.name for column in COLUMNS if column.required]
OPTIONAL = [column.name for column in COLUMNS if not column.required]
PATH = Path("/x/learning.db")


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """An instance with an empty source in memory."""
    with connect() as opened:
        opened.execute("ATTACH ':memory:' AS source")
        yield opened


def make(con: duckdb.DuckDBPyConnection, **types: str | None) -> SourceSchema:
    """Make a table whose columns have other types or are left out, and inspect it."""
    columns = {column.name: column.type for column in COLUMNS} | types
    ddl = ", ".join(f'"{name}" {kind}' for name, kind in columns.items() if kind)
    con.execute(f"CREATE OR REPLACE TABLE source.main.executions ({ddl})")
    return inspect(con, PATH, is_ours=False)


def became(
    con: duckdb.DuckDBPyConnection, column: str, kind: str, value: str
) -> tuple[object, int, int]:
    """Store a value of a type: what it is read as, whether as unreadable, whether as not finite."""
    schema = make(con, **{column: kind})
    con.execute(f'INSERT INTO source.main.executions ("{column}") VALUES ({value})')
    ((read, unreadable, not_finite),) = con.execute(
        f"SELECT {schema.expression(column)}, {schema.unreadable}, {schema.not_finite}"
        " FROM source.main.executions"
    ).fetchall()
    return read, unreadable, not_finite


@pytest.mark.parametrize("column", REQUIRED)
def test_each_required_column_is_missed_by_name(
    con: duckdb.DuckDBPyConnection, column: str
) -> None:
    """Without it, no figure could be made."""
    with pytest.raises(ContractError, match=f"executions has no column '{column}': add it"):
        make(con, **{column: None})


def test_all_missing_columns_are_named_at_once(con: duckdb.DuckDBPyConnection) -> None:
    """Nobody mends a table one error at a time."""
    with pytest.raises(ContractError, match="has no column 'repo', 'success': add them"):
        make(con, repo=None, success=None)


def test_optional_columns_may_be_missing(con: duckdb.DuckDBPyConnection) -> None:
    """They are told, and read as NULL."""
    schema = make(con, **dict.fromkeys(OPTIONAL))
    assert schema.missing == tuple(OPTIONAL)
    con.execute("INSERT INTO source.main.executions (task_id) VALUES ('a')")
    selected = ", ".join(map(schema.expression, OPTIONAL))
    assert con.execute(f"SELECT {selected} FROM source.main.executions").fetchall() == [
        (None,) * len(OPTIONAL)
    ]


def test_names_of_columns_may_be_in_capitals(con: duckdb.DuckDBPyConnection) -> None:
    """DuckDB does not tell them apart; no column more matters."""
    columns = ", ".join(f'"{column.name.upper()}" {column.type}' for column in COLUMNS)
    columns += ", surprise STRUCT(a INTEGER)"
    con.execute(f"CREATE OR REPLACE TABLE source.main.executions ({columns})")
    schema = inspect(con, PATH, is_ours=False)
    assert schema.missing == ()
    assert "surprise" not in schema.types


@pytest.mark.parametrize(
    "column", [c for c in COLUMNS if c.type != "VARCHAR"], ids=lambda c: c.name
)
def test_a_type_that_cannot_be_cast_is_named(
    con: duckdb.DuckDBPyConnection, column: Column
) -> None:
    """The column, its type, and the one that it should have; even in an empty table."""
    with pytest.raises(ContractError) as raised:
        make(con, **{column.name: "STRUCT(a INTEGER)"})
    assert (
        f"executions.{column.name} is STRUCT(a INTEGER), which cannot be read as {column.type}:"
        " change its type" in str(raised.value)
    )


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        *(("timestamp", "BIGINT"), ("timestamp", "TIME"), ("duration_seconds", "INTERVAL")),
        *(("success", "TIMESTAMP"), ("quality_score", "INTEGER[]"), ("user_rating", "INTEGER[2]")),
        *(("actual_cost", "MAP(VARCHAR, DOUBLE)"), ("peak_memory_mb", "BLOB")),
    ],
)
def test_other_types_that_cannot_be_cast(
    con: duckdb.DuckDBPyConnection, column: str, kind: str
) -> None:
    """Each could be meant in several ways, or in none."""
    with pytest.raises(ContractError, match=f"executions.{column} is .*, which cannot be read as"):
        make(con, **{column: kind})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((kind, "'2026-02-10 09:30'") for kind in ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS")),
        *((kind, "'2026-02-10 09:30'") for kind in ("TIMESTAMP_NS", "VARCHAR", "TIMESTAMPTZ")),
        *((kind, "'2026-02-10T01:30-08:00'") for kind in ("TIMESTAMPTZ", "VARCHAR")),
        *(("VARCHAR", f"'2026-02-10{t}'") for t in ("T09:30:00Z", " 10:30+01", "T09:30:00.000000")),
        ("ENUM ('2026-02-10 09:30')", "'2026-02-10 09:30'"),
    ],
)
def test_every_timestamp_becomes_utc(con: duckdb.DuckDBPyConnection, kind: str, value: str) -> None:
    """And lies in the hour in which it is counted, to the microsecond."""
    assert became(con, "timestamp", kind, value) == (AT, 0, 0)
    schema = inspect(con, PATH, is_ours=False)
    tick = datetime.resolution
    for start, end, lies in (
        (AT, AT + tick, True),
        (AT + tick, AT + 2 * tick, False),
        (AT - tick, AT, False),
    ):
        assert con.execute(
            f"SELECT {schema.between('start', 'end')} FROM source.main.executions",
            {"start": start, "end": end},
        ).fetchall() == [(lies,)]


NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT")
MORE_NUMBERS = ("UINTEGER", "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL(4, 1)", "VARCHAR")


@pytest.mark.parametrize("kind", [*NUMBERS, *MORE_NUMBERS, "JSON", "ENUM ('7')"])
@pytest.mark.parametrize(
    ("column", "read"), [("quality_score", 7), ("duration_seconds", 7.0), ("task_id", "7")]
)
def test_numbers_of_every_type(
    con: duckdb.DuckDBPyConnection, kind: str, column: str, read: object
) -> None:
    """As a whole number, a measurement and a text."""
    value, unreadable, not_finite = became(con, column, kind, "'7'" if "'" in kind else "7")
    if column == "task_id":
        value = str(value).removesuffix(".0")
    assert (value, unreadable, not_finite) == (read, 0, 0)
    assert type(value) is type(read)


@pytest.mark.parametrize("kind", [*NUMBERS, *MORE_NUMBERS, "BOOLEAN"])
def test_success_may_be_stored_as_a_number(con: duckdb.DuckDBPyConnection, kind: str) -> None:
    """0 and 1, as SQLite has it."""
    assert [became(con, "success", kind, f"{n}")[0] for n in (0, 1)] == [False, True]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda c: c.name)
@pytest.mark.parametrize("kind", ["VARCHAR", "DOUBLE", "DECIMAL(9, 2)", "BOOLEAN", None])
def test_null_stays_null(con: duckdb.DuckDBPyConnection, column: Column, kind: str | None) -> None:
    """Whatever its type; it is neither unreadable nor infinite. A dimension is 'unknown'."""
    if column.type == "TIMESTAMP" and kind != "VARCHAR":
        kind = None
    nothing = "unknown" if column.role is Role.DIMENSION else None
    assert became(con, column.name, kind or column.type, "NULL") == (nothing, 0, 0)


@pytest.mark.parametrize("value", ["nan", "inf", "-infinity", "1e300", "-1e13"])
@pytest.mark.parametrize("kind", ["FLOAT", "DOUBLE", "VARCHAR"])
@pytest.mark.parametrize(
    "column", [c for c in COLUMNS if c.type in ("DOUBLE", "BIGINT")], ids=lambda c: c.name
)
def test_what_is_not_finite_becomes_null(
    con: duckdb.DuckDBPyConnection, column: Column, kind: str, value: str
) -> None:
    """Or as good as that: one of them would spoil every sum and average. It is counted."""
    stored = "'inf'" if (kind, value) == ("FLOAT", "1e300") else f"'{value}'"
    read, unreadable, not_finite = became(con, column.name, kind, stored)
    assert (read, unreadable, not_finite) == (None, 0, 1)


def test_the_largest_measurement(con: duckdb.DuckDBPyConnection) -> None:
    """The limit itself is a value."""
    assert became(con, "actual_cost", "DOUBLE", "1e12") == (1e12, 0, 0)
    assert became(con, "actual_cost", "DOUBLE", "-1e12") == (-1e12, 0, 0)
    value, _, not_finite = became(con, "actual_cost", "DOUBLE", repr(math.nextafter(1e12, 2e12)))
    assert (value, not_finite) == (None, 1)


def test_not_a_number_is_no_success(con: duckdb.DuckDBPyConnection) -> None:
    """As a data frame stores a gap among truths; DuckDB would cast it to true."""
    assert became(con, "success", "DOUBLE", "'nan'") == (None, 0, 1)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("timestamp", "yesterday"), ("timestamp", "2026-02-30"), ("success", "perhaps")),
        *(("quality_score", "much"), ("duration_seconds", "12 s"), ("user_rating", "")),
        ("quality_score", "0x10"),
    ],
)
@pytest.mark.parametrize("kind", ["VARCHAR", "ENUM", "JSON"])
def test_a_value_that_cannot_be_read_costs_that_value(
    con: duckdb.DuckDBPyConnection, column: str, kind: str, value: str
) -> None:
    """It is NULL and counted as unreadable, and no error."""
    if kind == "JSON":
        read = became(con, column, kind, f"""'"{value}"'""")
    else:
        read = became(con, column, f"ENUM ('{value}')" if kind == "ENUM" else kind, f"'{value}'")
    assert read == (None, 1, 0)


AS_TEXTS = {
    "UUID": ("'6f1c9f0e-95a5-4f0e-9a3b-0f1d3c2b4a5e'", "6f1c9f0e-95a5-4f0e-9a3b-0f1d3c2b4a5e"),
    "STRUCT(a INTEGER)": ("{'a': 1}", "{'a': 1}"),
    "INTEGER[]": ("[1, NULL]", "[1, NULL]"),
    "MAP(VARCHAR, INTEGER)": ("MAP {'a': 1}", "{a=1}"),
    "BLOB": (r"'\xff\x00a'::BLOB", r"\xFF\x00a"),
    "DATE": ("DATE '2026-02-10'", "2026-02-10"),
    "BOOLEAN": ("true", "true"),
    "INTERVAL": ("INTERVAL 3 DAY", "3 days"),
    "JSON": ("""'{"a":  1}'""", '{"a":  1}'),
}


@pytest.mark.parametrize("kind", AS_TEXTS)
@pytest.mark.parametrize("column", ["task_id", "repo", "error_message"])
def test_anything_may_be_a_text(con: duckdb.DuckDBPyConnection, column: str, kind: str) -> None:
    """As DuckDB writes it."""
    value, text = AS_TEXTS[kind]
    assert became(con, column, kind, value) == (text, 0, 0)


def test_the_hash_is_that_of_the_columns_that_are_read(con: duckdb.DuckDBPyConnection) -> None:
    """Each of them changes it, and none that is left behind; equal rows do not cancel out."""
    names = ", ".join(column.name for column in COLUMNS)
    schema = make(con, surprise="INTEGER")
    con.execute("INSERT INTO source.main.executions BY NAME SELECT 'a' AS task_id, 1 AS surprise")
    hashes = set()
    for column in COLUMNS:
        value = "TIMESTAMP '2026-02-10'" if column.type == "TIMESTAMP" else "1"
        query = (
            f"SELECT {schema.row_hash} FROM (SELECT {names} FROM source.main.executions"
            f" UNION ALL SELECT {names.replace(column.name, f'{value} AS {column.name}', 1)}"
            " FROM source.main.executions)"
            if column.name != "task_id"
            else f"SELECT {schema.row_hash} FROM source.main.executions"
        )
        hashes |= {value for (value,) in con.execute(query).fetchall()}
    assert len(hashes) == len(COLUMNS)
    before = con.execute(f"SELECT {schema.row_hash} FROM source.main.executions").fetchall()
    con.execute("UPDATE source.main.executions SET surprise = 2")
    assert con.execute(f"SELECT {schema.row_hash} FROM source.main.executions").fetchall() == before
