"""The warehouse: the slim copy of the executions, the summary tables, and what is left to do.

One DuckDB file in the home, with one writer: whoever holds the home's lock. Each step of a refresh
notes in the same transaction what it leaves to the next one (``pending_days``), so that a process
killed at any moment is continued by the next refresh.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Self

import duckdb

from dbmon_pipeline.core.common.duck import connect, storage_errors
from dbmon_pipeline.core.common.errors import HomeBusyError
from dbmon_pipeline.core.common.instants import day_start
from dbmon_pipeline.core.schema.executions import COLUMNS

EXECUTIONS_COLUMNS = ", ".join(f"{column.name} {column.type}" for column in COLUMNS)
LEDGER_COLUMNS = (
    "hour TIMESTAMP, executions BIGINT, fingerprint HUGEINT,"
    " successes BIGINT, duration_sum DOUBLE, actual_cost_sum DOUBLE, not_finite BIGINT"
)
REFRESH_HISTORY_COLUMNS = (
    "as_of TIMESTAMP, data_through TIMESTAMP, rows_extracted BIGINT, hours_touched BIGINT,"
    " late_rows_repaired BIGINT, rows_gone BIGINT, hours_left BIGINT, source_attaches BIGINT,"
    " longest_lock_ms DOUBLE, total_lock_ms DOUBLE, is_snapshot BOOLEAN"
)
CHECK_HISTORY_COLUMNS = (
    "rule VARCHAR, scope VARCHAR, evaluated_at TIMESTAMP,"
    " value DOUBLE, samples BIGINT, warning DOUBLE, critical DOUBLE, verdict VARCHAR,"
    " direction VARCHAR, mode VARCHAR, raw_value DOUBLE, raw_samples BIGINT, raw_verdict VARCHAR,"
    " is_recovered BOOLEAN, window_start TIMESTAMP, window_end TIMESTAMP, sentence VARCHAR"
)

_HEADER_BYTES = 3 * 4096
"""What DuckDB begins a file with. A shorter one holds nothing: the disk was full, or the process
was killed, when it was made."""


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
        """Open the file, making it if it is not there.

        Raises:
            HomeBusyError: Another program has the file open.
            StorageError: It cannot be written or read.
        """
        self.path = path
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self.con = _connected(path)

    def replace_by(self, other: Path) -> None:
        """Put another file with the same tables in the place of this one, and open it.

        Raises:
            HomeBusyError: Another program has opened it meanwhile.
            StorageError: It cannot be written.
        """
        with storage_errors(self.path):
            self.con.close()  # which empties the write-ahead log, of which the other knows nothing
            other.replace(self.path)
            self.con = _connected(self.path)

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


def _connected(path: Path) -> duckdb.DuckDBPyConnection:
    if path.exists() and path.stat().st_size < _HEADER_BYTES:
        path.unlink()
    try:
        con = connect(path)
    except duckdb.IOException as error:
        if "Could not set lock" not in str(error):
            raise
        raise HomeBusyError(
            f"another program has {path} open ({str(error).splitlines()[0]})",
            remedy="close it there, then repeat",
        ) from error
    # No table has an order to keep, and inserts run on all cores without one.
    con.execute("SET preserve_insertion_order = false")
    return con
