"""Learning databases whose schema is right, and whose values are beyond anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from dbmon_pipeline.core.schema.executions import COLUMNS, Role
from dbmon_pipeline_tests.core.source.hostile_case import (
    AT,
    Case,
    Ends,
    as_owner,
    read,
    row,
)
from dbmon_pipeline_tests.helpers import make_odd_source
from dbmon_pipeline_tests.oracle import Row

_MEASURES = [column.name for column in COLUMNS if column.role is Role.MEASURE]
_WHOLE = [column.name for column in COLUMNS if column.type == "BIGINT"]
_TEXTS = [column.name for column in COLUMNS if column.type == "VARCHAR"]


def _numbers(kinds: Mapping[str, str], values: Mapping[Any, Any], path: Path) -> Ends:
    """Have numbers in columns of some types, twice each; what is beyond all measure is no value."""
    made = [(row(), value) for value in values for _ in range(2)]
    stored = [{**plain, **dict.fromkeys(kinds, value)} for plain, value in made]
    make_odd_source(path, stored, **kinds)
    return read(*({**plain, **dict.fromkeys(kinds, values[value])} for plain, value in made))


def _timestamps(kind: str, odd: list[str], path: Path) -> Ends:
    """Have timestamps far outside of what is monitored, and a good one."""
    good = row(timestamp=AT.replace(hour=0, minute=0))  # as a DATE holds it
    make_odd_source(path, [good], timestamp=kind)
    as_owner(
        path,
        *(
            "INSERT INTO executions BY NAME SELECT *"
            f" REPLACE (CAST('{text}' AS {kind}) AS timestamp) FROM executions LIMIT 1"
            for text in odd
        ),
    )
    return read(good)


def _timestamp_text(text: str, path: Path) -> Ends:
    """Have a text that is no time: its row belongs to no hour."""
    made = row()
    make_odd_source(path, [made, {**row(), "timestamp": text}], timestamp="VARCHAR")
    return read(made)


def _rows(rows: Callable[[], list[Row]], path: Path) -> Ends:
    made = rows()
    make_odd_source(path, made)
    return read(*made)


def _negative() -> list[Row]:
    """Come out as they are: they are counted as a warning, and change no other figure."""
    values = (-5.5, -0.0, 0.0, -(2.0**-100), 2.0**-126)
    return [row(**dict.fromkeys(_MEASURES, value)) for value in values]


_ODD_TEXTS = (
    *("", " ", "'; DROP TABLE executions; --", '"', "\n\r\t", "\x00", "a\x00b", "a\x00c"),
    *("\u202eevil", "\N{COLLISION SYMBOL}" * 50, "a\u0301", "\u00e1", "\ufeff", "\U0010ffff"),
    *("../../etc/passwd", "{{ x }}", "$window_start", "%s", "\x1b[31m", "NULL", "unknown"),
)


def _odd_texts() -> list[Row]:
    return [row(**dict.fromkeys(_TEXTS, text)) for text in _ODD_TEXTS for _ in range(5)]


def _hours_and_days() -> list[Row]:
    """Stand on every edge of an hour, a day, a month and what is monitored."""
    edges = [datetime.fromisoformat(text) for text in ("2026-02-10T09:00", "2026-02-01T00:00")]
    tick = timedelta(microseconds=1)
    rows = [row(timestamp=edge + n * tick) for edge in edges for n in (-1, 0, 1)]
    return [*rows, row(timestamp=datetime.fromisoformat("2023-01-01"))]


def _nothing_but_time() -> list[Row]:
    return [{"timestamp": AT}, {"timestamp": AT}]


def _huge_texts(path: Path) -> Ends:
    """Have 50 MB in every text that is cut or left behind, and 2 MB in a dimension."""
    made = row(repo="r" * 2_000_000, error_type="E", error_message="m")
    make_odd_source(path, [made], metadata="VARCHAR")
    long = "repeat('x', 50_000_000)"
    as_owner(
        path,
        f"UPDATE executions SET error_message = {long}, task_description = {long},"
        f" metadata = {long}",
    )
    return read({**made, "error_message": "x" * 2_000})


def _bad_json(path: Path) -> Ends:
    made = [row(task_id=str(n)) for n in range(3)]
    make_odd_source(path, made, metadata="VARCHAR")
    as_owner(
        path, "UPDATE executions SET metadata = CASE task_id WHEN '0' THEN '{bad' ELSE NULL END"
    )
    as_owner(path, "UPDATE executions SET metadata = repeat('[', 100_000) WHERE task_id = '1'")
    return read(*made)


def _embeddings(path: Path) -> Ends:
    made = [row(task_id=str(n)) for n in range(4)]
    make_odd_source(path, made)
    for n, width in enumerate((0, 1, 384, 10_000)):
        vector = f"[CAST('nan' AS FLOAT) FOR _ IN range({width})]"
        as_owner(path, f"UPDATE executions SET embedding = {vector} WHERE task_id = '{n}'")
    return read(*made)


_FAR = ["0001-01-01", "9999-12-31", "infinity", "-infinity", "0044-03-15 (BC)"]
_FARTHEST = [*_FAR, "290309-12-22 (BC) 00:00:00", "294247-01-10 04:00:54.775806"]
_ENUM = "ENUM ('nan', 'inf', '-Infinity', '1.5')"
_NUMBERS: dict[str, tuple[Mapping[str, str], Mapping[Any, Any]]] = {
    "beyond a BIGINT sum": (
        dict.fromkeys(_WHOLE, "BIGINT"),
        {2**63 - 1: None, -(2**63): None, 10**12: 10**12, 10**12 + 10**6: None, -3: -3},
    ),
    "beyond a DOUBLE sum": (
        dict.fromkeys(_MEASURES, "DOUBLE"),
        {1e308: None, -1e308: None, 1e12: 1e12, 1e12 + 1: None, 1.5: 1.5},
    ),
    "of large whole types": (
        dict(zip(_WHOLE, ("HUGEINT", "DECIMAL(38, 2)", "DOUBLE", "FLOAT", "BIGINT"), strict=True)),
        {10**18: None, -(10**18): None, 7: 7},
    ),
    "beyond a BIGINT": (
        dict(
            zip(_WHOLE, ("HUGEINT", "DECIMAL(38, 2)", "DOUBLE", "FLOAT", "UHUGEINT"), strict=True)
        ),
        {10**30: None, 7: 7},
    ),
    "in texts": (dict.fromkeys(_WHOLE, "VARCHAR"), {str(10**18): None, "nan": None, "7": 7}),
    "measured in large types": (
        dict.fromkeys(_MEASURES[:2], "DECIMAL(38, 10)")
        | dict.fromkeys(_MEASURES[2:4], "HUGEINT")
        | dict.fromkeys(_MEASURES[4:], "FLOAT"),
        {10**25: None, 2: 2.0},
    ),
    "measured in JSON": (dict.fromkeys(_MEASURES, "JSON"), {"1e300": None, "1.5": 1.5}),
    "of an ENUM": (
        dict.fromkeys(_MEASURES, _ENUM),
        {"nan": None, "inf": None, "-Infinity": None, "1.5": 1.5},
    ),
}
_TIMES = {
    "TIMESTAMP": _FARTHEST,
    "TIMESTAMPTZ": _FAR,
    "DATE": _FAR,
    "TIMESTAMP_S": _FAR,
    "TIMESTAMP_MS": _FAR,
    "TIMESTAMP_NS": ["1677-09-22", "2262-04-11", "infinity", "-infinity"],
}
_ROWS = {
    "negative numbers": _negative,
    "odd texts": _odd_texts,
    "edges of hours and days": _hours_and_days,
    "nothing but the time": _nothing_but_time,
}
_MADE: dict[str, Callable[[Path], Ends]] = {
    "huge texts": _huge_texts,
    "metadata that is no JSON": _bad_json,
    "embeddings of any length": _embeddings,
}

CASES = [
    *(Case(f"numbers {name}", partial(_numbers, *how)) for name, how in _NUMBERS.items()),
    *(Case(f"far {kind}", partial(_timestamps, kind, odd)) for kind, odd in _TIMES.items()),
    *(
        Case(f"far VARCHAR, {texts[0]}", partial(_timestamps, "VARCHAR", texts))
        for texts in (_FAR, _FARTHEST[-2:-1], _FARTHEST[-1:])
    ),
    *(
        Case(f"timestamp {text!r}", partial(_timestamp_text, text))
        for text in ("", "2026-02-30", "1739179800", "2026-02-10 25:00", "\x00")
    ),
    *(Case(f"values: {name}", partial(_rows, rows)) for name, rows in _ROWS.items()),
    *(Case(f"values: {name}", make) for name, make in _MADE.items()),
]
"""Every odd value."""
