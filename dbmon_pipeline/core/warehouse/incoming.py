"""Incoming rows: copied in slices under the source's lock, then cleaned, redacted and stored.

They wait in ``incoming_*`` tables and take effect in one transaction at the end, so an extraction
that fails leaves the warehouse as it was. Rows are stored while the next ones are copied: either
keeps about one core busy.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date, datetime

import duckdb

from dbmon_pipeline.core.common.duck import bound_memory, unreadable_value
from dbmon_pipeline.core.common.instants import HOUR
from dbmon_pipeline.core.query.ranges import Part
from dbmon_pipeline.core.source.redaction import Redactor
from dbmon_pipeline.core.source.source import Source
from dbmon_pipeline.core.warehouse.changes import ChangedHour
from dbmon_pipeline.core.warehouse.slices import Slices, cut, within
from dbmon_pipeline.core.warehouse.warehouse import EXECUTIONS_COLUMNS, LEDGER_COLUMNS, Warehouse

logger = logging.getLogger(__name__)

_STORE_ROWS = 400_000
"""How many rows wait in memory before they are stored: more than three row groups, because a
checkpoint would write again what lies between two smaller ones that are only filled in part."""
_PROGRESS_SECONDS = 1.0


class Incoming:
    """Hours on their way into the warehouse.

    Attributes:
        rows: How many rows have been copied.
    """

    def __init__(
        self, warehouse: Warehouse, source: Source, redactor: Redactor, as_of: datetime
    ) -> None:
        """Take part in an extraction; nothing is copied yet."""
        self.rows = 0
        self._warehouse = warehouse
        self._source = source
        self._redactor = redactor
        self._as_of = as_of
        self._batches = 0

    def copy(self, hours: list[ChangedHour]) -> None:
        """Copy the rows of hours, in slices, into the ``incoming_*`` tables.

        Raises:
            SourceError: The source cannot be read.
            StorageError: The warehouse cannot be written.
        """
        con = self._warehouse.con
        bound_memory(con)
        with self._warehouse.transaction():
            for table in (
                f"incoming_executions ({EXECUTIONS_COLUMNS}, pruned BOOLEAN)",
                f"incoming_ledger ({LEDGER_COLUMNS})",
            ):
                con.execute(f"CREATE OR REPLACE TABLE {table}")
        expected = sum(hour.source_rows for hour in hours)
        started = told = time.monotonic()
        sized = [(hour.hour, hour.source_rows) for hour in hours]
        # At first every hour with rows is among them; later those between have rows that stay.
        is_first = not con.execute("SELECT 1 FROM hour_ledger LIMIT 1").fetchone()
        batch, stored = self._next_batch(), None
        with ThreadPoolExecutor(1) as storing:
            for windows in cut(self._source, sized, over_gaps=is_first):
                end = windows[-1][1]
                self._hold(batch, [(start, min(until, self._as_of)) for start, until in windows])
                if batch.rows >= _STORE_ROWS:
                    _wait_for(stored)
                    stored = storing.submit(self._store, batch)
                    batch = self._next_batch()
                now = time.monotonic()
                if now - told >= _PROGRESS_SECONDS:
                    told = now
                    logger.info(
                        "copied %s of %s rows, through %s (%s rows/s)",
                        *(f"{self.rows:,}", f"{expected:,}", end.date()),
                        f"{self.rows / (now - started):,.0f}",
                    )
            _wait_for(stored)
        if batch:
            self._store(batch)

    def _next_batch(self) -> Slices:
        """Slices that can be taken while those before them are stored."""
        self._batches += 1
        name = f"batch_{self._batches % 2}"
        return Slices(self._warehouse.con, self._source, self._redactor, name)

    def _hold(self, batch: Slices, windows: list[Part]) -> None:
        """Copy a slice into memory, with control totals from the same attach."""
        into = "INSERT INTO {} BY NAME" if batch else "CREATE OR REPLACE TABLE {} AS"
        before = batch.rows
        with batch.taking(windows) as con:
            schema = self._source.schema
            condition, values = within(schema, windows)
            con.execute(
                f"""
                {into.format(f"{batch.together}_controls")}
                SELECT date_trunc('hour', {schema.expression("timestamp")}) AS hour,
                    count(*) AS executions,
                    count(*) FILTER (WHERE {schema.expression("success")}) AS successes,
                    sum({schema.expression("duration_seconds")}) AS duration_sum,
                    sum({schema.expression("actual_cost")}) AS actual_cost_sum
                FROM source.main.executions
                WHERE {condition} GROUP BY 1
                """,
                values,
            )
        self.rows += batch.rows - before

    def _store(self, batch: Slices) -> None:
        """Clean, redact and store what was copied into memory, and forget it there."""
        con, schema = self._warehouse.con, self._source.schema
        cleaned = batch.cleaned()
        with self._warehouse.transaction():
            try:
                for rows in cleaned:
                    con.execute(
                        "INSERT INTO incoming_executions BY NAME"
                        f" SELECT *, false AS pruned FROM ({rows})"
                    )
            except duckdb.ConversionException as error:
                raise unreadable_value(self._source.path, error) from error
            con.execute(
                f"""
                INSERT INTO incoming_ledger BY NAME
                SELECT controls.*, hashes.fingerprint, hashes.not_finite
                FROM {batch.together}_controls AS controls
                LEFT JOIN (
                    SELECT date_trunc('hour', {schema.expression("timestamp")}) AS hour,
                        sum({schema.row_hash}) AS fingerprint,
                        CAST(sum({schema.not_finite}) AS BIGINT) AS not_finite
                    FROM {batch.together} GROUP BY 1
                ) AS hashes ON controls.hour = hashes.hour
                """
            )
        batch.forget()

    def take_effect(self, hours: list[datetime]) -> set[date]:
        """Replace hours by what came in; inside a transaction.

        Returns:
            The days that have changed.
        """
        con = self._warehouse.con
        # A row may have come into a gap while hours were copied across it.
        came = con.execute("SELECT DISTINCT CAST(hour AS DATE) FROM incoming_ledger").fetchall()
        touched = {hour.date() for hour in hours} | {day for (day,) in came}
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


def _wait_for(stored: Future[None] | None) -> None:
    """Wait until a batch is stored, and raise what went wrong with it."""
    if stored:
        stored.result()
