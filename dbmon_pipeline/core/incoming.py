"""Incoming rows: copied in slices under the source's lock, then cleaned, redacted and stored.

They wait in ``incoming_*`` tables and take effect in one transaction at the end, so an extraction
that fails leaves the warehouse as it was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import date, datetime

import duckdb

from dbmon_pipeline.core.changes import ChangedHour, Window
from dbmon_pipeline.core.duck import unreadable_value
from dbmon_pipeline.core.instants import HOUR
from dbmon_pipeline.core.model import COLUMNS
from dbmon_pipeline.core.redaction import TEXT_COLUMNS, Redactor
from dbmon_pipeline.core.source import Source
from dbmon_pipeline.core.warehouse import EXECUTIONS_COLUMNS, LEDGER_COLUMNS, Warehouse

logger = logging.getLogger(__name__)

_SMALLEST_SLICE_ROWS = 60_000
"""A smaller slice takes hardly less time: DuckDB unpacks a row group of 122,880 rows as a whole."""
_STORE_ROWS = 1_000_000
"""How many rows wait in memory at the most before they are stored."""
_LONGEST_TEXT = 2_000
"""Characters of free text that are kept."""
_PROGRESS_SECONDS = 1.0


class Incoming:
    """Hours on their way into the warehouse.

    Attributes:
        rows: How many rows have come in.
    """

    def __init__(
        self, warehouse: Warehouse, source: Source, redactor: Redactor, as_of: datetime
    ) -> None:
        """Take part in an extraction; nothing is copied yet."""
        self.rows = 0
        self._slices: list[str] = []
        self._waiting = 0
        self._warehouse = warehouse
        self._source = source
        self._redactor = redactor
        self._as_of = as_of

    def copy(self, hours: list[ChangedHour]) -> None:
        """Copy the rows of hours, in slices, into the ``incoming_*`` tables.

        Raises:
            SourceError: The source cannot be read.
            StorageError: The warehouse cannot be written.
        """
        con = self._warehouse.con
        con.execute(
            f"CREATE OR REPLACE TABLE incoming_executions ({EXECUTIONS_COLUMNS}, pruned BOOLEAN)"
        )
        con.execute(f"CREATE OR REPLACE TABLE incoming_ledger ({LEDGER_COLUMNS})")
        expected = sum(hour.source_rows for hour in hours)
        started = told = time.monotonic()
        for start, end in self._cut(hours):
            self._hold(start, min(end, self._as_of))
            if self._waiting >= _STORE_ROWS:
                self._store()
            now = time.monotonic()
            if now - told >= _PROGRESS_SECONDS:
                told = now
                logger.info(
                    "copied %s of %s rows, through %s (%s rows/s)",
                    *(f"{self.rows:,}", f"{expected:,}", end.date()),
                    f"{self.rows / (now - started):,.0f}",
                    extra={"done": self.rows, "of": expected},
                )
        if self._slices:
            self._store()

    def _cut(self, hours: list[ChangedHour]) -> Iterator[Window]:
        """Cut hours into runs of adjacent ones, sized by how long the last hold was."""
        size = _SMALLEST_SLICE_ROWS
        first = 0
        while first < len(hours):
            last, rows = first, hours[first].source_rows
            while (
                last + 1 < len(hours)
                and hours[last + 1].hour - hours[last].hour == HOUR
                and rows + hours[last + 1].source_rows <= size
            ):
                last += 1
                rows += hours[last].source_rows
            yield hours[first].hour, hours[last].hour + HOUR
            if rows > size // 2:
                size = max(_SMALLEST_SLICE_ROWS, int(size * self._source.fit()))
            first = last + 1
            self._source.pause()

    def _hold(self, start: datetime, end: datetime) -> None:
        """Copy a slice into memory, with control totals from the same attach.

        Into a table of its own: DuckDB inserts into an existing one at a third of the speed.
        """
        slice_ = f"memory.main.slice_{len(self._slices)}"
        bounds = {"start": start, "until": end}
        with self._source.attached() as con:
            schema = self._source.schema
            within = schema.between("start", "until")
            taken = f"SELECT {schema.columns} FROM source.main.executions WHERE {within}"
            controls = f"""
                SELECT date_trunc('hour', {schema.expression("timestamp")}) AS hour,
                    count(*) AS executions,
                    count(*) FILTER (WHERE {schema.expression("success")}) AS successes,
                    sum({schema.expression("duration_seconds")}) AS duration_sum,
                    sum({schema.expression("actual_cost")}) AS actual_cost_sum
                FROM source.main.executions WHERE {within} GROUP BY 1
            """
            into = (
                "INSERT INTO memory.main.controls BY NAME"
                if self._slices
                else "CREATE OR REPLACE TABLE memory.main.controls AS"
            )
            copied = con.execute(f"CREATE TABLE {slice_} AS {taken}", bounds).fetchall()
            con.execute(f"{into} {controls}", bounds)
        self._slices.append(slice_)
        rows = int(copied[0][0])
        self.rows += rows
        self._waiting += rows

    def _store(self) -> None:
        """Clean, redact and store what was copied into memory, and forget it there."""
        con, schema = self._warehouse.con, self._source.schema
        slices = " UNION ALL ".join(f"SELECT * FROM {slice_}" for slice_ in self._slices)
        con.execute(f"CREATE OR REPLACE VIEW memory.main.slice AS {slices}")
        has_secrets = self._clean_texts()
        with self._warehouse.transaction():
            columns = ", ".join(
                f"coalesce({c.name}_cleaned.clean, {schema.expression(c.name)}) AS {c.name}"
                if has_secrets and c.name in TEXT_COLUMNS
                else f"{schema.expression(c.name)} AS {c.name}"
                for c in COLUMNS
            )
            joins = " ".join(
                f"LEFT JOIN memory.main.cleaned AS {name}_cleaned"
                f" ON {schema.expression(name)} = {name}_cleaned.text"
                for name in TEXT_COLUMNS
                if has_secrets
            )
            try:
                con.execute(
                    f"INSERT INTO incoming_executions BY NAME"
                    f" SELECT {columns}, false AS pruned FROM memory.main.slice {joins}"
                )
            except duckdb.ConversionException as error:
                raise unreadable_value(self._source.path, error) from error
            con.execute(
                f"""
                INSERT INTO incoming_ledger BY NAME
                SELECT controls.*, hashes.fingerprint, hashes.not_finite
                FROM memory.main.controls AS controls
                LEFT JOIN (
                    SELECT date_trunc('hour', {schema.expression("timestamp")}) AS hour,
                        sum({schema.row_hash}) AS fingerprint,
                        CAST(sum({schema.not_finite}) AS BIGINT) AS not_finite
                    FROM memory.main.slice GROUP BY 1
                ) AS hashes ON controls.hour = hashes.hour
                """
            )
        for slice_ in self._slices:
            con.execute(f"DROP TABLE {slice_}")
        self._slices.clear()
        self._waiting = 0

    def _clean_texts(self) -> bool:
        """Fill ``memory.main.cleaned`` with the texts that must change; False if none must.

        Two statements, because the optimizer would match every row instead of every text.
        """
        cursor = self._warehouse.con.cursor()
        texts = " UNION ".join(
            f"SELECT {self._source.schema.expression(name)} AS text FROM memory.main.slice"
            for name in TEXT_COLUMNS
        )
        clean = f"substring({self._redactor.expression('text')}, 1, {_LONGEST_TEXT})"
        cursor.execute(f"CREATE OR REPLACE TABLE memory.main.texts AS {texts}")
        cursor.execute(
            "CREATE OR REPLACE TABLE memory.main.cleaned AS"
            f" SELECT text, {clean} AS clean FROM memory.main.texts WHERE {clean} <> text"
        )
        return cursor.execute("SELECT 1 FROM memory.main.cleaned LIMIT 1").fetchone() is not None

    def take_effect(self, hours: list[datetime]) -> set[date]:
        """Replace hours by what came in; inside a transaction.

        Returns:
            The days that have changed.
        """
        con = self._warehouse.con
        touched = {hour.date() for hour in hours}
        if hours:
            bounds = {"hours": hours, "first": hours[0], "end": hours[-1] + HOUR}
            replaced = "IN (SELECT unnest(CAST($hours AS TIMESTAMP[])))"
            con.execute(
                "DELETE FROM executions"
                " WHERE timestamp >= $first AND timestamp < $end AND NOT pruned"
                f" AND date_trunc('hour', timestamp) {replaced}",
                bounds,
            )
            con.execute(f"DELETE FROM hour_ledger WHERE hour {replaced}", {"hours": hours})
            touched |= {hour.date() for hour in self._forget_restored()}
            if con.execute("SELECT 1 FROM executions LIMIT 1").fetchone():
                con.execute("INSERT INTO executions BY NAME FROM incoming_executions")
                con.execute("DROP TABLE incoming_executions")
            else:
                con.execute("DROP TABLE executions")
                con.execute("ALTER TABLE incoming_executions RENAME TO executions")
            con.execute("INSERT INTO hour_ledger BY NAME FROM incoming_ledger")
        else:
            con.execute("DROP TABLE incoming_executions")
        con.execute("DROP TABLE incoming_ledger")
        return touched

    def _forget_restored(self) -> set[datetime]:
        """Remove pruned rows that are in the source again, perhaps at another time.

        Returns:
            The hours that they were in.
        """
        con = self._warehouse.con
        removed = con.execute(
            "DELETE FROM executions WHERE pruned"
            " AND task_id IN (SELECT task_id FROM incoming_executions)"
            " RETURNING date_trunc('hour', timestamp)"
        ).fetchall()
        hours = {hour for (hour,) in removed}
        con.execute(
            "DELETE FROM pruned_hours WHERE hour IN (SELECT unnest(CAST($hours AS TIMESTAMP[])))"
            " AND hour NOT IN (SELECT date_trunc('hour', timestamp) FROM executions WHERE pruned)",
            {"hours": list(hours)},
        )
        return hours
