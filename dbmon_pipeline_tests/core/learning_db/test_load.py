"""Loading brings in all executions of a file, or names what is wrong and leaves nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from dbmon_pipeline.core.common.errors import LoadError, SourceError
from dbmon_pipeline.core.learning_db.load import load
from dbmon_pipeline.core.schema.executions import COLUMNS

HERE = Path(__file__)
REAL = {
    HERE.parents[2] / "data" / "executions_aider_leaderboards.parquet": (181, 107, 1721.77),
    HERE.parents[4] / "shared" / "data" / "executions_autocoderover.parquet": (1500, 289, 693.72),
}
ROW: Mapping[str, object] = {
    "task_id": "run-1",
    "timestamp": "2026-01-01T00:30:00+02:00",
    "task_type": "bug_fix",
    "repo": "tools",
    "model_tier": "small",
    "pool_type": "local",
    "success": True,
    "duration_seconds": 1.5,
}
"""An execution with the required columns alone."""

Writer = Callable[[Path, list[dict[str, object]]], None]


def write_parquet(file: Path, rows: list[dict[str, object]]) -> None:
    """Write the rows as Parquet, typed by what JSON makes of them."""
    lines = file.with_suffix(".lines")
    write_json_lines(lines, rows)
    with duckdb.connect() as con:
        con.execute(f"COPY (FROM read_json('{lines}', format = 'nd')) TO '{file}' (FORMAT parquet)")
    lines.unlink()


def write_separated(file: Path, rows: list[dict[str, object]]) -> None:
    """Write the rows with commas, or tabs, and every text in quotes."""
    mark = "\t" if file.suffix == ".tsv" else ","
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [mark.join(names)]
    for row in rows:
        cells = [row.get(name) for name in names]
        lines.append(mark.join("" if cell is None else quoted(cell) for cell in cells))
    file.write_text("\n".join(lines) + "\n", "utf-8")


def quoted(cell: object) -> str:
    """A cell in quotes, lists and objects as JSON."""
    text = cell if isinstance(cell, str) else json.dumps(cell)
    return '"' + text.replace('"', '""') + '"'


def write_json(file: Path, rows: list[dict[str, object]]) -> None:
    """Write the rows as one array."""
    file.write_text(json.dumps(rows, indent=1), "utf-8")


def write_json_lines(file: Path, rows: list[dict[str, object]]) -> None:
    """Write one object a line."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


WRITERS: dict[str, Writer] = {
    ".parquet": write_parquet,
    ".csv": write_separated,
    ".CSV": write_separated,
    ".tsv": write_separated,
    ".json": write_json,
    ".jsonl": write_json_lines,
    ".ndjson": write_json_lines,
}


def read(path: Path, query: str) -> list[tuple[object, ...]]:
    """Ask a learning database."""
    with duckdb.connect(str(path), read_only=True) as con:
        return con.execute(query).fetchall()


def refusal(tmp_path: Path, file: Path) -> LoadError:
    """The error of loading a file, after a look that nothing is left of the attempt."""
    folder = tmp_path / "made"
    with pytest.raises(LoadError) as caught:
        load(file, folder / "learning.db")
    assert not folder.exists() or list(folder.iterdir()) == []
    assert str(file) in str(caught.value)
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize("file", [file for file in REAL if file.exists()], ids=lambda f: f.stem)
def test_real_executions_load_whole(tmp_path: Path, file: Path) -> None:
    """Every value of files that nobody in this project made up."""
    rows, successes, usd = REAL[file]
    path = tmp_path / "learning.db"
    assert load(file, path) == rows
    [(count, succeeded, cost)] = read(
        path, "SELECT count(*), count(*) FILTER (success), sum(actual_cost) FROM executions"
    )
    assert (count, succeeded) == (rows, successes)
    assert cost == pytest.approx(usd, abs=0.01)
    differing = (
        "SELECT * REPLACE (CAST(task_id AS VARCHAR) AS task_id, CAST(metadata AS JSON) AS metadata)"
        f" FROM '{file}' EXCEPT ALL FROM executions"
    )
    assert read(path, differing) == []


@pytest.mark.parametrize("ending", WRITERS)
def test_every_kind_of_file_gives_the_same_row(tmp_path: Path, ending: str) -> None:
    """What a person exports to must not change a figure."""
    row = {
        **ROW,
        "error_message": 'two\nlines, and a "quoted" word, é',
        "embedding": [0.5, -2.0],
        "metadata": {"attempt": 1},
        "estimated_tokens": 1200,
        "cost_estimate": None,
    }
    file, path = tmp_path / f"in{ending}", tmp_path / "learning.db"
    WRITERS[ending](file, [row, {**row, "task_id": "run-2", "embedding": None}])
    assert load(file, path) == 2
    assert read(path, "SELECT * EXCLUDE (metadata) FROM executions WHERE task_id = 'run-1'") == [
        (
            *(
                "run-1",
                datetime.fromisoformat("2025-12-31T22:30"),
                "bug_fix",
                None,
                "tools",
                None,
                1200,
            ),
            *("small", "local", None, None, None, True, 1.5, None, None, None, None),
            *('two\nlines, and a "quoted" word, é', None, None, None, None, None, [0.5, -2.0]),
        )
    ]
    assert read(path, "SELECT DISTINCT metadata ->> 'attempt' FROM executions") == [("1",)]


@pytest.mark.parametrize(
    "timestamp",
    [
        "TIMESTAMP '2025-12-31 22:30:00'",
        "TIMESTAMP_NS '2025-12-31 22:30:00'",
        "TIMESTAMPTZ '2026-01-01 03:30:00+05:00'",
        "'2025-12-31 22:30'",
        "'2025-12-31T22:30:00Z'",
        "'2025-12-31T17:30:00-05:00'",
    ],
)
def test_every_timestamp_becomes_utc(tmp_path: Path, timestamp: str) -> None:
    """DuckDB drops the offset of a text that is cast straight to TIMESTAMP."""
    file, path = tmp_path / "in.parquet", tmp_path / "learning.db"
    columns = ", ".join(f"{value!r} AS {name}" for name, value in ROW.items())
    with duckdb.connect() as con:
        con.execute(
            f"COPY (SELECT {columns.replace(repr(ROW['timestamp']), timestamp)}) TO '{file}'"
        )
    load(file, path)
    assert read(path, "SELECT timestamp FROM executions") == [
        (datetime.fromisoformat("2025-12-31T22:30"),)
    ]


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".json"])
def test_unknown_columns_are_left_out_and_named(
    tmp_path: Path, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A misspelt optional column is seen by its warning alone."""
    file = tmp_path / f"in{ending}"
    WRITERS[ending](file, [{**ROW, "uploaded_at": "x", "Odd name": 1}])
    with caplog.at_level(logging.WARNING):
        assert load(file, tmp_path / "learning.db") == 1
    [record] = caplog.records
    assert record.getMessage().endswith("does not have: Odd name, uploaded_at")


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".json"])
@pytest.mark.parametrize("name", [column.name for column in COLUMNS if column.required])
def test_a_missing_required_column_is_named(tmp_path: Path, ending: str, name: str) -> None:
    """Without it, no figure could be made."""
    file = tmp_path / f"in{ending}"
    WRITERS[ending](file, [{key: value for key, value in ROW.items() if key != name}])
    assert f"has no column {name}:" in str(refusal(tmp_path, file))


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".json"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timestamp", "the day before"),
        ("duration_seconds", "fast"),
        ("success", "perhaps"),
        ("estimated_tokens", "3000000000"),
        ("embedding", "[1,x]"),
        ("metadata", "{half"),
    ],
)
def test_a_value_that_cannot_be_cast_is_named(
    tmp_path: Path, ending: str, name: str, value: str
) -> None:
    """The library's own message tells the value or the line, not the column."""
    file = tmp_path / f"in{ending}"
    WRITERS[ending](file, [{**ROW, name: None}, {**ROW, "task_id": "run-2", name: value}])
    message = str(refusal(tmp_path, file))
    assert f"{value!r} in column {name} is no" in message


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    """An error is one line, whatever stands in the file."""
    file = tmp_path / "in.csv"
    write_separated(file, [{**ROW, "success": "x" * 10_000}])
    assert len(str(refusal(tmp_path, file))) < len(str(file)) + 200


def test_three_of_the_repeated_ids_are_named(tmp_path: Path) -> None:
    """A file that was written twice would list them all."""
    file = tmp_path / "in.json"
    ids = ["a", "b", "once", "c", "d", "a", "a", "b", "c", "d"]
    write_json(file, [{**ROW, "task_id": task_id} for task_id in ids])
    assert "task_id a, b, c occurs more than once" in str(refusal(tmp_path, file))


def test_an_execution_without_an_id_is_refused(tmp_path: Path) -> None:
    """It could never be told from another one."""
    file = tmp_path / "in.json"
    write_json(file, [{**ROW}, {**ROW, "task_id": None}, {**ROW, "task_id": None}])
    assert "2 of 3 executions have no task_id" in str(refusal(tmp_path, file))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "does not exist"),
        ("in.xlsx", b"PK", "is of an unsupported file type"),
        ("in", b"x", "is of an unsupported file type"),
        ("in.parquet", b"", "is empty"),
        ("in.parquet", b"PAR1 cut short, long before any footer", "cannot be read as parquet"),
        ("in.csv", ",".join(ROW).encode() + b"\n", "holds no executions"),
        ("in.csv", bytes(range(256)), "cannot be read as csv"),
        ("in.json", b'[{"task_id": ', "cannot be read as json"),
        ("in.json", json.dumps([ROW, 7]).encode(), "cannot be read as json"),
        ("in.json", b"[]", "has no column task_id"),
        ("in.json", b"[1, 2]", "has no column task_id"),
    ],
)
def test_what_holds_no_executions_is_refused(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    """A person who names the wrong file hears what is wrong with it."""
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    assert message in str(refusal(tmp_path, file))


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    """Its footer is whole, so the damage shows only when rows are read."""
    file = tmp_path / "in.parquet"
    whole = bytearray(next(iter(REAL)).read_bytes())
    whole[1000:3000] = bytes(2000)
    file.write_bytes(whole)
    assert "cannot be read as parquet" in str(refusal(tmp_path, file))


def test_a_folder_is_refused(tmp_path: Path) -> None:
    """A folder may well have the ending of a data set."""
    file = tmp_path / "parts.parquet"
    file.mkdir()
    assert "is not a file" in str(refusal(tmp_path, file))


def test_a_file_name_is_no_pattern(tmp_path: Path) -> None:
    """DuckDB would read both files, and take the repo from the folder."""
    folder = tmp_path / "repo=other"
    folder.mkdir()
    write_separated(folder / "in1.csv", [{**ROW, "task_id": "wrong"}])
    write_separated(folder / "in[1]*'.csv", [{**ROW}])
    load(folder / "in[1]*'.csv", tmp_path / "learning.db")
    assert read(tmp_path / "learning.db", "SELECT task_id, repo FROM executions") == [
        ("run-1", "tools")
    ]


def test_an_existing_database_stays(tmp_path: Path) -> None:
    """Loading makes databases and never adds to one."""
    file, path = tmp_path / "in.json", tmp_path / "learning.db"
    write_json(file, [{**ROW}])
    path.write_text("precious")
    with pytest.raises(SourceError, match="already exists"):
        load(file, path)
    assert path.read_text() == "precious"
