"""Extraction: the changed hours are copied out of the source into the warehouse.

Rows are copied into memory under the source's lock, and cleaned, redacted and stored after it. What
was copied waits in ``incoming_*`` tables and takes effect in one transaction at the end: an
extraction that fails leaves the warehouse as it was.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta

from dbmon_pipeline.core.changes import ChangedHour, Window, changed_hours, row_hash
from dbmon_pipeline.core.config import MonitoringConfig
from dbmon_pipeline.core.errors import RefreshError
from dbmon_pipeline.core.instants import DAY, HOUR, day_start, hour_floor, iso
from dbmon_pipeline.core.model import COLUMNS
from dbmon_pipeline.core.redaction import TEXT_COLUMNS, Redactor
from dbmon_pipeline.core.rollups import ROLLUPS
from dbmon_pipeline.core.source import Overview, Source
from dbmon_pipeline.core.warehouse import (
    EXECUTIONS_COLUMNS,
    LEDGER_COLUMNS,
    Stage,
    State,
    Warehouse,
)

logger = logging.getLogger(__name__)

_SMALLEST_SLICE_ROWS = 122_880
"""A row group of DuckDB: a part of one takes as long to read as the whole."""
_STORE_ROWS = 1_000_000
"""How many rows wait in memory at the most before they are stored."""
_LONGEST_TEXT = 2_000
"""Characters of free text that are kept."""
_PROGRESS_SECONDS = 1.0


@dataclass(frozen=True)
class Extraction:
    """What an extraction did.

    Attributes:
        rows: Rows that were copied.
        hours: The hours that were replaced.
        days: The days they belong to, all of which wait to be rolled up.
        late_rows: Rows new to us although older than what had been read before.
        hours_left: Changed hours seen outside of the window, left for another refresh.
        unrepairable_hours: Changed hours of old days that their owner has pruned in part.
        data_through: The instant up to which the source has been read; None before it was read
            whole.
        overview: The glance at the source that this began with.
        holds_ms: How long each attach lasted, in milliseconds.
    """

    rows: int
    hours: tuple[datetime, ...]
    days: tuple[date, ...]
    late_rows: int
    hours_left: int
    unrepairable_hours: int
    data_through: datetime | None
    overview: Overview
    holds_ms: tuple[float, ...] = field(repr=False)


def compare_since(warehouse: Warehouse, config: MonitoringConfig, as_of: datetime) -> datetime:
    """From which hour on a refresh looks for changes: 48 h back, or since it last could.

    Before the first whole read that is the start of the history.
    """
    read_through = warehouse.instant(State.DATA_THROUGH)
    start = day_start(config.history_start)
    if read_through is None:
        return start
    look_back = timedelta(hours=config.source.compare_hours)
    return max(start, hour_floor(min(as_of, read_through) - look_back))


def kept_from(config: MonitoringConfig, as_of: datetime) -> date:
    """The first day whose raw rows stay in the warehouse."""
    return as_of.date() - timedelta(days=config.keep.executions_days)


def extract(
    warehouse: Warehouse,
    source: Source,
    config: MonitoringConfig,
    redactor: Redactor,
    *,
    days: tuple[date, date],
    as_of: datetime,
) -> Extraction:
    """Copy the changed hours of a stretch of days.

    The latest hours are compared too, whatever the stretch: only if nothing is left to read there
    does ``data_through`` move on to ``as_of``.

    Args:
        warehouse: Where the rows go.
        source: Where they come from.
        config: The limits.
        redactor: What free text loses.
        days: The first and the last day of the stretch.
        as_of: Rows at or after it are not extracted.

    Raises:
        RefreshError: ``as_of`` lies before the one that was read before.
        SourceError: The source cannot be read.
        StorageError: The warehouse cannot be written.
    """
    refuse_going_back(warehouse, as_of)
    redactor.catch_up(warehouse)
    overview = source.overview(day_start(config.history_start), as_of)
    oldest = overview.oldest
    aged = _has_aged(warehouse, oldest)
    start = max(day_start(days[0]), day_start(config.history_start))
    end = min(day_start(days[1]) + DAY, as_of)
    recent = compare_since(warehouse, config, as_of)
    changed = changed_hours(warehouse, source, _merged((start, end), (recent, as_of)), oldest)
    inside = [hour for hour in changed if start <= hour.hour < end]
    hours_left = len(changed) - len(inside)
    cut_short = oldest.date() if oldest and aged else None
    wanted, unrepairable = _whole_old_days(
        warehouse, inside, kept_from=kept_from(config, as_of), cut_short=cut_short
    )
    copy = _Copy(warehouse, source, redactor, as_of)
    copy.run(wanted)
    read_before = warehouse.instant(State.DATA_THROUGH)
    data_through = read_before if hours_left else as_of
    with warehouse.transaction():
        _mark_pruned(warehouse, oldest, aged=aged)
        late_rows = _count_late(warehouse, wanted, read_before)
        touched = copy.take_effect([hour.hour for hour in wanted])
        tables = [rollup.name for rollup in ROLLUPS if rollup.window is None]
        warehouse.add_pending(tables, touched, Stage.ROLL_UP)
        warehouse.set_state(State.AS_OF, as_of.isoformat())
        warehouse.set_state(State.SOURCE, json.dumps(source.identity))
        warehouse.set_state(State.OVERVIEW, json.dumps(asdict(overview), default=str))
        if data_through:
            warehouse.set_state(State.DATA_THROUGH, data_through.isoformat())
    return Extraction(
        rows=copy.rows,
        hours=tuple(hour.hour for hour in wanted),
        days=tuple(sorted(touched)),
        late_rows=late_rows,
        hours_left=hours_left,
        unrepairable_hours=unrepairable,
        data_through=data_through,
        overview=overview,
        holds_ms=tuple(source.holds_ms),
    )


def refuse_going_back(warehouse: Warehouse, as_of: datetime) -> None:
    """An instant before the one already read would have to forget rows.

    Raises:
        RefreshError: It lies before it.
    """
    before = warehouse.instant(State.AS_OF)
    if before and as_of < before:
        raise RefreshError(
            f"as-of {iso(as_of)} lies before {iso(before)}, as of which this home was refreshed",
            remedy="give a later instant, or another home with --home",
        )


class _Copy:
    """Copies hours into the ``incoming_*`` tables, and then makes them take effect."""

    def __init__(
        self, warehouse: Warehouse, source: Source, redactor: Redactor, as_of: datetime
    ) -> None:
        self.rows = 0
        self._warehouse = warehouse
        self._source = source
        self._redactor = redactor
        self._as_of = as_of

    def run(self, hours: list[ChangedHour]) -> None:
        """Copy the rows of hours, in slices."""
        con = self._warehouse.con
        con.execute(
            f"CREATE OR REPLACE TABLE incoming_executions ({EXECUTIONS_COLUMNS}, pruned BOOLEAN)"
        )
        con.execute(f"CREATE OR REPLACE TABLE incoming_ledger ({LEDGER_COLUMNS})")
        con.execute("DROP TABLE IF EXISTS memory.main.slice")
        expected = sum(hour.source_rows for hour in hours)
        started = told = time.monotonic()
        waiting = 0
        for start, end in self._slices(hours):
            waiting += self._hold(start, min(end, self._as_of))
            if waiting >= _STORE_ROWS:
                self._store()
                waiting = 0
            now = time.monotonic()
            if now - told >= _PROGRESS_SECONDS:
                told = now
                logger.info(
                    "copied %s of %s rows, through %s (%s rows/s)",
                    *(f"{self.rows:,}", f"{expected:,}", end.date()),
                    f"{self.rows / (now - started):,.0f}",
                    extra={"done": self.rows, "of": expected},
                )
        if waiting:
            self._store()

    def _slices(self, hours: list[ChangedHour]) -> Iterator[Window]:
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

    def _hold(self, start: datetime, end: datetime) -> int:
        """Copy a slice into memory, with control totals from the same attach."""
        source, bounds = self._source, {"start": start, "until": end}
        with source.attached() as con:
            within = f"{source.at_or_after('start')} AND NOT {source.at_or_after('until')}"
            columns = ", ".join(f'"{column}"' for column in source.raw_columns)
            taken = f"SELECT {columns} FROM source.main.executions WHERE {within}"
            controls = f"""
                SELECT date_trunc('hour', {source.expression("timestamp")}) AS hour,
                    count(*) AS executions,
                    count(*) FILTER (WHERE {source.expression("success")}) AS successes,
                    sum({source.expression("duration_seconds")}) AS duration_sum,
                    sum({source.expression("actual_cost")}) AS actual_cost_sum
                FROM source.main.executions WHERE {within} GROUP BY 1
            """
            fresh = not con.execute(
                "SELECT 1 FROM duckdb_tables() WHERE database_name = 'memory' AND table_name = 'slice'"
            ).fetchall()
            into = "CREATE TABLE {} AS" if fresh else "INSERT INTO {} BY NAME"
            rows = con.execute(f"{into.format('memory.main.slice')} {taken}", bounds).fetchall()[0][
                0
            ]
            con.execute(f"{into.format('memory.main.controls')} {controls}", bounds)
        self.rows += int(rows)
        return int(rows)

    def _store(self) -> None:
        """Clean, redact and store what was copied into memory, and forget it there."""
        con, source = self._warehouse.con, self._source
        has_secrets = self._clean_texts()
        with self._warehouse.transaction():
            columns = ", ".join(
                f"coalesce({c.name}_cleaned.clean, {source.expression(c.name)}) AS {c.name}"
                if has_secrets and c.name in TEXT_COLUMNS
                else f"{source.expression(c.name)} AS {c.name}"
                for c in COLUMNS
            )
            joins = " ".join(
                f"LEFT JOIN memory.main.cleaned AS {name}_cleaned"
                f" ON {source.expression(name)} = {name}_cleaned.text"
                for name in TEXT_COLUMNS
                if has_secrets
            )
            con.execute(
                f"INSERT INTO incoming_executions BY NAME"
                f" SELECT {columns}, false AS pruned FROM memory.main.slice {joins}"
            )
            con.execute(
                f"""
                INSERT INTO incoming_ledger BY NAME
                SELECT controls.*, hashes.fingerprint, hashes.not_finite
                FROM memory.main.controls AS controls
                LEFT JOIN (
                    SELECT date_trunc('hour', {source.expression("timestamp")}) AS hour,
                        sum({row_hash(source)}) AS fingerprint,
                        CAST(sum({source.not_finite()}) AS BIGINT) AS not_finite
                    FROM memory.main.slice GROUP BY 1
                ) AS hashes ON controls.hour = hashes.hour
                """
            )
        con.execute("DROP TABLE memory.main.slice")
        con.execute("DROP TABLE memory.main.controls")

    def _clean_texts(self) -> bool:
        """Fill ``memory.main.cleaned`` with the texts that must change; False if none must.

        Two statements, because the optimizer would match every row instead of every text.
        """
        cursor = self._warehouse.con.cursor()
        texts = " UNION ".join(
            f"SELECT {self._source.expression(name)} AS text FROM memory.main.slice"
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
                "DELETE FROM executions WHERE timestamp >= $first AND timestamp < $end AND NOT pruned"
                f" AND date_trunc('hour', timestamp) {replaced}",
                bounds,
            )
            con.execute(f"DELETE FROM hour_ledger WHERE hour {replaced}", {"hours": hours})
            restored = con.execute(
                "DELETE FROM executions WHERE pruned"
                " AND task_id IN (SELECT task_id FROM incoming_executions)"
                " RETURNING CAST(timestamp AS DATE)"
            ).fetchall()
            touched |= {day for (day,) in restored}
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


def _merged(first: Window, second: Window) -> list[Window]:
    """Two windows as one or two that do not overlap; empty ones fall away."""
    windows = sorted(window for window in (first, second) if window[0] < window[1])
    if len(windows) == 2 and windows[1][0] <= windows[0][1]:
        return [(windows[0][0], max(windows[0][1], windows[1][1]))]
    return windows


def _has_aged(warehouse: Warehouse, oldest: datetime | None) -> bool:
    """Whether the source's oldest row is a later one than when it was last read."""
    overview = warehouse.state(State.OVERVIEW)
    before = json.loads(overview)["oldest"] if overview else None
    return before is not None and (oldest is None or datetime.fromisoformat(before) < oldest)


def _whole_old_days(
    warehouse: Warehouse, changed: list[ChangedHour], *, kept_from: date, cut_short: date | None
) -> tuple[list[ChangedHour], int]:
    """Widen changed hours of days whose raw rows have left us to the whole day.

    Such a day is rolled up from the source alone, so it must be read whole; where its owner has
    pruned a part of it, what we have is better, and it is left.

    Args:
        warehouse: What we have.
        changed: The changed hours.
        kept_from: The first day whose raw rows are kept.
        cut_short: The day of the source's oldest row, if that has become a later one.

    Returns:
        The hours to copy, and how many changed hours are left as they are.
    """
    by_day: dict[date, list[ChangedHour]] = {}
    for hour in changed:
        by_day.setdefault(hour.hour.date(), []).append(hour)
    wanted: list[ChangedHour] = []
    unrepairable = 0
    for day, hours in by_day.items():
        has_raw = _has_rows(warehouse, "executions", "timestamp", day)
        is_pruned = _has_rows(warehouse, "pruned_hours", "hour", day)
        is_known = is_pruned or _has_rows(warehouse, "hour_ledger", "hour", day)
        if day >= kept_from or has_raw or not is_known:
            wanted += hours
        elif is_pruned or day == cut_short:
            unrepairable += len(hours)
        else:
            changed_at = {hour.hour: hour for hour in hours}
            all_day = (day_start(day) + n * HOUR for n in range(24))
            wanted += [changed_at.get(hour, ChangedHour(hour, 0, 0)) for hour in all_day]
    return wanted, unrepairable


def _has_rows(warehouse: Warehouse, table: str, time_column: str, day: date) -> bool:
    return bool(
        warehouse.con.execute(
            f"SELECT 1 FROM {table} WHERE {time_column} >= $start AND {time_column} < $end LIMIT 1",
            {"start": day_start(day), "end": day_start(day) + DAY},
        ).fetchone()
    )


def _mark_pruned(warehouse: Warehouse, oldest: datetime | None, *, aged: bool) -> None:
    """Keep what lies before the source's oldest row: owners prune, and pruned is not deleted."""
    con, horizon = warehouse.con, oldest or datetime.max
    marked = con.execute(
        "UPDATE executions SET pruned = true WHERE timestamp < $horizon AND NOT pruned"
        " RETURNING date_trunc('hour', timestamp)",
        {"horizon": horizon},
    ).fetchall()
    hours = {hour for (hour,) in marked}
    horizon_hour = hour_floor(horizon)
    if aged and oldest and not _has_rows(warehouse, "executions", "timestamp", horizon_hour.date()):
        hours.add(horizon_hour)
    con.execute(
        """
        INSERT INTO pruned_hours
        SELECT hour FROM (
            SELECT unnest(CAST($hours AS TIMESTAMP[])) AS hour
            UNION SELECT hour FROM hour_ledger WHERE hour < $horizon_hour
        ) WHERE hour NOT IN (SELECT hour FROM pruned_hours)
        """,
        {"hours": list(hours), "horizon_hour": horizon_hour},
    )
    con.execute("DELETE FROM hour_ledger WHERE hour < $horizon", {"horizon": horizon_hour})


def _count_late(
    warehouse: Warehouse, hours: list[ChangedHour], read_before: datetime | None
) -> int:
    """How many rows came in that are older than what had been read, and were not known."""
    if read_before is None or not hours:
        return 0
    return int(
        warehouse.con.execute(
            """
            SELECT count(*) FROM incoming_executions AS incoming
            WHERE timestamp < $through AND NOT EXISTS (
                SELECT 1 FROM executions AS known
                WHERE
                    known.timestamp >= $first AND known.timestamp < $through
                    AND known.task_id = incoming.task_id
            )
            """,
            {"through": read_before, "first": hours[0].hour},
        ).fetchall()[0][0]
    )
