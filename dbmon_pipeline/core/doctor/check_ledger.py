"""Check of the tables against the hour ledger: each day's totals must be the same."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from operator import itemgetter

import duckdb

from dbmon_pipeline.core.changes.ledger import HourState
from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.common.instants import EARLIEST
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.doctor.finding import Outcome, ok, problem
from dbmon_pipeline.core.generation.generation import Generation
from dbmon_pipeline.core.rollup.reconcile import agree
from dbmon_pipeline.core.schema.catalogue import HOUR_LEDGER, ROLLED_UP, TABLES
from dbmon_pipeline.core.schema.manifest import Manifest, read_manifest
from dbmon_pipeline.core.schema.table import Table

Fault = tuple[date, str]
"""A difference, and the day on which it is."""

_MAGNITUDES = {
    "duration_sum": "duration_abs_sum",
    "actual_cost_sum": "actual_cost_abs_sum",
}
"""The total magnitude of the terms of a sum that may cancel out."""
_KEPT_FOR = {table.source: table for table in ROLLED_UP if table.window and table.source in TABLES}
"""The table of the last so much time for which a table of days is kept, by that table's name."""


def compare_totals(settings: Settings) -> Outcome | None:
    """Compare the totals of every table, on every day, with those of the hour ledger."""
    folder = settings.home.generation
    if not folder.is_dir():
        return None
    generation = Generation(folder, read_manifest(folder))
    try:
        with connect() as con:
            days, faults = _compare(con, generation)
    except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException):
        raise
    except duckdb.Error:  # a damaged file, reported by the check of the generation
        return None
    if faults:
        more = f", and {len(faults) - 1} more differences" if len(faults) > 1 else ""
        first, last = faults[0][0], faults[-1][0]
        return problem(
            f"{faults[0][1]}{more}",
            f"run dbmon refresh --since {first} --until {last}, which makes these days again",
        )
    return ok(f"the totals of all tables equal those of the hour ledger on each of {days:,} days")


def _compare(con: duckdb.DuckDBPyConnection, generation: Generation) -> tuple[int, list[Fault]]:
    """Compare a generation's tables with its ledger.

    Returns:
        How many days the ledger has, and the differences in the order of their days.
    """
    ledger = generation.relation(HOUR_LEDGER.name, lambda _: True)
    if ledger is None:
        return 0, []
    con.execute(f"CREATE TEMP TABLE ledger AS SELECT CAST(hour AS DATE) AS day, * FROM {ledger}")
    con.execute(
        "CREATE TEMP TABLE incomplete AS SELECT DISTINCT day FROM ledger"
        f" WHERE state <> '{HourState.WHOLE}'"
    )
    ((days,),) = con.execute("SELECT count(DISTINCT day) FROM ledger").fetchall()
    faults = [*_executions(con, generation.manifest)]
    for table in ROLLED_UP:
        relation = generation.relation(table.name, lambda _: True)
        if table.totals and table.window is None and relation is not None:
            faults += _differences(con, table, relation, generation.manifest.as_of)
    return days, sorted(faults, key=itemgetter(0))


def _executions(con: duckdb.DuckDBPyConnection, manifest: Manifest) -> Iterator[Fault]:
    """Compare the ledger with the number of executions that the manifest states."""
    ((counted,),) = con.execute(
        "SELECT CAST(coalesce(sum(executions), 0) AS BIGINT) FROM ledger"
    ).fetchall()
    if counted != manifest.executions:
        yield (
            manifest.as_of.date(),
            f"the manifest counts {manifest.executions:,} executions, the hour ledger {counted:,}",
        )


def _differences(
    con: duckdb.DuckDBPyConnection, table: Table, relation: str, as_of: datetime
) -> Iterator[Fault]:
    """Compare one table with the ledger.

    A table made from rows keeps its figures on days of which the source has pruned a part.
    """
    start = EARLIEST
    if kept_for := _KEPT_FOR.get(table.name):
        start = kept_for.window_at(as_of)[0]
    is_of_rows = table.time_column == "date" and table.source not in TABLES
    skipped = "AND day NOT IN (SELECT day FROM incomplete)" if is_of_rows else ""
    columns = [*table.totals]
    expected = ", ".join(f"sum({column}) AS expected_{column}" for column in columns)
    sizes = ", ".join(
        f"sum(abs({_MAGNITUDES.get(column, column)})) AS size_{column}" for column in columns
    )
    actual = ", ".join(f"{total} AS actual_{column}" for column, total in table.totals.items())
    figures = ", ".join(f"expected_{c}, actual_{c}, size_{c}" for c in columns)
    rows = con.execute(
        f"""
        SELECT day, {figures}
        FROM (SELECT day, {expected}, {sizes} FROM ledger WHERE day >= $start GROUP BY day)
        FULL JOIN (
            SELECT CAST({table.time_column} AS DATE) AS day, {actual}
            FROM {relation}
            WHERE {table.time_column} >= $start
            GROUP BY ALL
        ) USING (day)
        WHERE true {skipped}
        ORDER BY day
        """,
        {"start": start},
    ).fetchall()
    for day, *values in rows:
        for column, want, have, size in zip(
            columns, values[::3], values[1::3], values[2::3], strict=True
        ):
            if not agree(want or 0, have or 0, size or 0):
                yield (
                    day,
                    f"{column} of {table.name} is {have or 0:,} on {day}, not {want or 0:,}",
                )
