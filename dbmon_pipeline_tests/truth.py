"""The truth: every published table, by brute force over what the source holds."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline_tests.oracle import SLIM_COLUMNS, assert_same_rows, expected_tables

Row = dict[str, Any]


def rows_of(source: Path) -> list[Row]:
    """All executions of a source that nobody writes at the moment."""
    with duckdb.connect(str(source), read_only=True) as con:
        found = con.execute(
            f"SELECT * REPLACE (CAST(task_id AS VARCHAR) AS task_id)"
            f" FROM (SELECT {', '.join(SLIM_COLUMNS)} FROM executions)"
        ).fetchall()
    return [dict(zip(SLIM_COLUMNS, row, strict=True)) for row in found]


NOT_OF_THE_ROWS = frozenset(
    (
        *("state", "source_executions", "fingerprint"),
        *("duplicate_task_ids", "not_finite_values", "unreadable_values"),
    )
)
"""Columns of the ledger that the oracle does not make from rows."""


def comparable_hours(ledger: Iterable[Row]) -> list[Row]:
    """The hours of the ledger without what cannot be made from the rows."""
    return [
        {name: value for name, value in hour.items() if name not in NOT_OF_THE_ROWS}
        for hour in ledger
    ]


def assert_published(
    home: Home,
    rows: Iterable[Mapping[str, object]],
    as_of: datetime | None = None,
    without: Container[str] = (),
) -> int:
    """See that what is published is what the rows give, row for row.

    Args:
        home: Where it is published.
        rows: The executions.
        as_of: The instant that it must speak for, if that is known.
        without: Tables that are not compared.

    Returns:
        How many rows were compared.

    Raises:
        AssertionError: It is not.
    """
    compared = 0
    with Published(home) as published:
        manifest = published.manifest
        assert manifest.data_through == manifest.as_of
        assert as_of in (None, manifest.as_of)
        for table, expected in expected_tables(map(dict, rows), manifest.as_of).items():
            if table in without:
                continue
            found = published.rows(table)
            actual = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
            if table == "hour_ledger":
                actual = comparable_hours(actual)
            assert_same_rows(actual, expected, where=table)
            compared += len(expected)
    return compared
