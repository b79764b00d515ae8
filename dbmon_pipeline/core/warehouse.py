"""The warehouse: the slim copy of the executions, the summary tables, and what is left to do.

One DuckDB file in the home, with one writer: whoever holds the home's lock. Each step of a refresh
notes in the same transaction what it leaves to the next one (``pending_days``), so that a process
killed at any moment is continued by the next refresh.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Self

import duckdb

from dbmon_pipeline.core.duck import connect, storage_errors
from dbmon_pipeline.core.errors import HomeBusyError, HomeError
from dbmon_pipeline.core.instants import day_start
from dbmon_pipeline.core.model import COLUMNS
from dbmon_pipeline.core.rollups import ROLLUPS, Rollup

LAYOUT_VERSION = 1
"""The version of the tables below; a warehouse of a newer one is refused."""

EXECUTIONS_COLUMNS = ", ".join(f"{column.name} {column.type}" for column in COLUMNS)
LEDGER_COLUMNS = (
    "hour TIMESTAMP, executions BIGINT, fingerprint HUGEINT,"
    " successes BIGINT, duration_sum DOUBLE, actual_cost_sum DOUBLE, not_finite BIGINT"
)
CHECK_HISTORY_COLUMNS = (
    "rule VARCHAR, scope VARCHAR, evaluated_at TIMESTAMP,"
    " value DOUBLE, samples BIGINT, warning DOUBLE, critical DOUBLE, verdict VARCHAR,"
    " direction VARCHAR, mode VARCHAR, raw_value DOUBLE, raw_samples BIGINT, raw_verdict VARCHAR,"
    " is_recovered BOOLEAN, window_start TIMESTAMP, window_end TIMESTAMP, sentence VARCHAR"
)

_TABLES = (
    # The slim rows. `pruned`: the source no longer holds this row, because its owner removed all
    # rows of that age; it stays.
    f"CREATE TABLE IF NOT EXISTS executions ({EXECUTIONS_COLUMNS}, pruned BOOLEAN)",
    # What the source said of an hour when it was last read: how many rows, the sum of their
    # hashes (NULL: to be read again), and control totals taken in the same attach as the copy.
    f"CREATE TABLE IF NOT EXISTS hour_ledger ({LEDGER_COLUMNS})",
    # Hours of which rows were pruned: once their raw rows have left the warehouse too, such an
    # hour can never be read again.
    "CREATE TABLE IF NOT EXISTS pruned_hours (hour TIMESTAMP)",
    # What the rules said, by evaluation.
    f"CREATE TABLE IF NOT EXISTS check_history ({CHECK_HISTORY_COLUMNS})",
    "CREATE TABLE IF NOT EXISTS pending_days (table_name VARCHAR, day DATE, stage VARCHAR)",
    "CREATE TABLE IF NOT EXISTS state (name VARCHAR, value VARCHAR)",
)


class Stage(StrEnum):
    """What a day of a table still waits for."""

    ROLL_UP = "roll_up"
    PUBLISH = "publish"


class State(StrEnum):
    """The names of the facts that the warehouse keeps about itself."""

    LAYOUT_VERSION = "layout_version"
    AS_OF = "as_of"
    DATA_THROUGH = "data_through"
    REDACTION = "redaction"
    SOURCE = "source"
    OVERVIEW = "overview"


class Warehouse:
    """An open warehouse.

    Attributes:
        path: The file.
        con: The connection; its default catalogue is the warehouse.
    """

    def __init__(self, path: Path) -> None:
        """Open the warehouse, making what is not there yet.

        Raises:
            HomeError: It was made by a newer version of this project.
            HomeBusyError: Another program has the file open.
            StorageError: It cannot be written or read.
        """
        self.path = path
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self.con = connect(path)
                # No table has an order to keep, and inserts run on all cores without one.
                self.con.execute("SET preserve_insertion_order = false")
            except duckdb.IOException as error:
                if "Could not set lock" not in str(error):
                    raise
                raise HomeBusyError(
                    f"another program has {path} open ({str(error).splitlines()[0]})",
                    remedy="close it there, then repeat",
                ) from error
        try:
            with self.transaction():
                self._prepare()
        except BaseException:
            self.con.close()
            raise

    def close(self) -> None:
        """Close the connection; what was committed stays."""
        self.con.close()

    def __enter__(self) -> Self:
        """Use it as a context: closed at the end, whatever happens."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """All of the block's writes, or none of them.

        Raises:
            StorageError: The warehouse cannot be written.
        """
        with storage_errors(self.path):
            self.con.execute("BEGIN")
            try:
                yield self.con
                self.con.execute("COMMIT")
            except BaseException:
                with suppress(duckdb.Error):
                    self.con.execute("ROLLBACK")
                raise

    def state(self, name: State) -> str | None:
        """A fact about the warehouse, or None if it was never set."""
        found = self.con.execute(
            "SELECT value FROM state WHERE name = $name", {"name": name}
        ).fetchone()
        return str(found[0]) if found else None

    def set_state(self, name: State, value: str) -> None:
        """Set a fact; inside a transaction, with what it is true of."""
        self.con.execute("DELETE FROM state WHERE name = $name", {"name": name})
        self.con.execute("INSERT INTO state VALUES ($name, $value)", {"name": name, "value": value})

    def instant(self, name: State) -> datetime | None:
        """A fact that is an instant, naive UTC."""
        value = self.state(name)
        return datetime.fromisoformat(value) if value else None

    def executions(self) -> int:
        """How many executions the summary tables count in all."""
        (rows,) = self.con.execute(
            "SELECT coalesce(CAST(sum(executions) AS BIGINT), 0) FROM daily_summary"
        ).fetchall()[0]
        return int(rows)

    def pending(self, table: str, stage: Stage) -> set[date]:
        """The days of a table that wait for a stage."""
        rows = self.con.execute(
            "SELECT DISTINCT day FROM pending_days WHERE table_name = $table AND stage = $stage",
            {"table": table, "stage": stage},
        ).fetchall()
        return {day for (day,) in rows}

    def has_pending(self) -> bool:
        """Whether an earlier refresh was cut off before it could publish."""
        return self.con.execute("SELECT 1 FROM pending_days LIMIT 1").fetchone() is not None

    def add_pending(self, tables: Iterable[str], days: Iterable[date], stage: Stage) -> None:
        """Note that days of tables wait for a stage; inside a transaction."""
        self.con.execute(
            "INSERT INTO pending_days SELECT name, day, $stage"
            " FROM unnest($tables) AS t (name) CROSS JOIN unnest(CAST($days AS DATE[])) AS d (day)",
            {"tables": list(tables), "days": list(days), "stage": stage},
        )

    def advance(self, table: str, days: set[date]) -> None:
        """Note that days of a table are rolled up and wait to be published; in a transaction."""
        self.settle(table, days, Stage.ROLL_UP)
        self.add_pending([table], days - self.pending(table, Stage.PUBLISH), Stage.PUBLISH)

    def settle(self, table: str, days: set[date], stage: Stage) -> None:
        """Note that days of a table no longer wait for a stage; inside a transaction."""
        self.con.execute(
            "DELETE FROM pending_days WHERE table_name = $table AND stage = $stage"
            " AND day IN (SELECT unnest(CAST($days AS DATE[])))",
            {"table": table, "stage": stage, "days": list(days)},
        )

    def distrust(self, hours: Iterable[datetime]) -> None:
        """Have hours read again by the next extraction, because the copy of them is wrong.

        Raises:
            StorageError: The warehouse cannot be written.
        """
        wrong = {"hours": list(hours)}
        with self.transaction() as con:
            con.execute(
                "INSERT INTO hour_ledger BY NAME SELECT hour, 0 AS executions"
                " FROM unnest(CAST($hours AS TIMESTAMP[])) AS t (hour)"
                " WHERE hour NOT IN (SELECT hour FROM hour_ledger)",
                wrong,
            )
            con.execute(
                "UPDATE hour_ledger SET fingerprint = NULL"
                " WHERE hour IN (SELECT unnest(CAST($hours AS TIMESTAMP[])))",
                wrong,
            )

    def distrusted(self) -> set[datetime]:
        """The hours that must be read again."""
        rows = self.con.execute("SELECT hour FROM hour_ledger WHERE fingerprint IS NULL").fetchall()
        return {hour for (hour,) in rows}

    def forget_executions_before(self, day: date) -> int:
        """Remove raw rows that are published and older than a day; summaries stay.

        Returns:
            How many rows left.

        Raises:
            StorageError: The warehouse cannot be written.
        """
        with self.transaction() as con:
            (rows,) = con.execute(
                "DELETE FROM executions WHERE timestamp < $start AND CAST(timestamp AS DATE) NOT IN"
                " (SELECT day FROM pending_days)",
                {"start": day_start(day)},
            ).fetchall()[0]
        return int(rows)

    def _prepare(self) -> None:
        for statement in _TABLES:
            self.con.execute(statement)
        version = self.state(State.LAYOUT_VERSION)
        if version is None:
            self.set_state(State.LAYOUT_VERSION, str(LAYOUT_VERSION))
        elif int(version) > LAYOUT_VERSION:
            raise HomeError(
                f"{self.path} was made by a newer version of dbmon (layout {version},"
                f" this one knows {LAYOUT_VERSION})",
                remedy="upgrade dbmon-pipeline, or name another home",
            )
        selects = dict(
            self.con.execute("SELECT name, value FROM state WHERE name LIKE 'select:%'").fetchall()
        )
        for rollup in ROLLUPS:
            name = f"select:{rollup.name}"
            digest = hashlib.sha256(rollup.select.encode()).hexdigest()
            if selects.get(name) != digest:
                self._remake(rollup, exists=name in selects)
                self.con.execute("DELETE FROM state WHERE name = $name", {"name": name})
                self.con.execute(
                    "INSERT INTO state VALUES ($name, $d)", {"name": name, "d": digest}
                )

    def _remake(self, rollup: Rollup, *, exists: bool) -> None:
        """Give a table the columns of its SELECT, and have the kept days rolled up anew.

        Days whose raw rows have left keep the figures that they have.
        """
        table, before = rollup.name, f"{rollup.name}_before"
        if exists:
            self.con.execute(f"ALTER TABLE {table} RENAME TO {before}")
        start = datetime.min
        self.con.execute(
            f"CREATE TABLE {table} AS SELECT * FROM ({rollup.select}) LIMIT 0",
            {"window_start": start, "window_end": start},
        )
        if exists:
            old, new = (
                [row[0] for row in self.con.execute(f"DESCRIBE {t}").fetchall()]
                for t in (before, table)
            )
            common = ", ".join(column for column in new if column in old)
            self.con.execute(f"INSERT INTO {table} BY NAME SELECT {common} FROM {before}")
            self.con.execute(f"DROP TABLE {before}")
        if rollup.window is None:
            for stage, days_of in (
                (Stage.ROLL_UP, "SELECT CAST(timestamp AS DATE) FROM executions"),
                (Stage.PUBLISH, f"SELECT CAST({rollup.time_column} AS DATE) FROM {table}"),
            ):
                days = {
                    day
                    for (day,) in self.con.execute(f"SELECT DISTINCT * FROM ({days_of})").fetchall()
                }
                self.add_pending([table], days, stage)


def table_columns() -> dict[str, list[tuple[str, str]]]:
    """The columns of each published table and their types, as DuckDB derives them."""
    window = dict.fromkeys(("window_start", "window_end"), datetime.min)
    with connect() as con:
        con.execute(f"CREATE TABLE executions ({EXECUTIONS_COLUMNS})")
        con.execute(f"CREATE TABLE check_history ({CHECK_HISTORY_COLUMNS})")
        described = {
            rollup.name: con.execute(f"DESCRIBE {rollup.select}", window).fetchall()
            for rollup in ROLLUPS
        }
        described["check_history"] = con.execute("DESCRIBE check_history").fetchall()
        return {name: [(row[0], row[1]) for row in rows] for name, rows in described.items()}
