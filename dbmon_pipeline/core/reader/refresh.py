"""The work of a refresh in the reader process: compare, read, roll up, write the draft's tables."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date, datetime
from pathlib import Path

import duckdb
import msgspec

from dbmon_pipeline.core.changes.find import Found, find_changes, small_years
from dbmon_pipeline.core.changes.ledger import KNOWN, load_ledger
from dbmon_pipeline.core.changes.plan import Plan
from dbmon_pipeline.core.changes.request import RefreshRequest
from dbmon_pipeline.core.common.duck import connect, quoted, storage_errors
from dbmon_pipeline.core.common.instants import DAY
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.generation.generation import Generation
from dbmon_pipeline.core.generation.writer import DraftWriter
from dbmon_pipeline.core.rollup.chunks import Chunk
from dbmon_pipeline.core.rollup.duplicates import count_within_days
from dbmon_pipeline.core.rollup.hours import Hours, late_rows
from dbmon_pipeline.core.rollup.patterns import PATTERN_DAYS, Patterns
from dbmon_pipeline.core.rollup.quality import count_quality
from dbmon_pipeline.core.rollup.read_ahead import IncomingChunk, ReadAhead
from dbmon_pipeline.core.rollup.read_rows import ROWS
from dbmon_pipeline.core.rollup.recent import RECENT, RecentExecutions, recent_from
from dbmon_pipeline.core.rollup.reconcile import differences_from_ledger
from dbmon_pipeline.core.rollup.redact_published import redact_published
from dbmon_pipeline.core.rollup.result import ChangeFigures, ReadingFigures, RolledUp
from dbmon_pipeline.core.rollup.roll_up import DAY_ROWS, RollUp, lost_rows
from dbmon_pipeline.core.rollup.write_tables import TableWriter
from dbmon_pipeline.core.schema.catalogue import TABLES
from dbmon_pipeline.core.schema.columns import create_empty_tables
from dbmon_pipeline.core.schema.manifest import BadValue, Difference
from dbmon_pipeline.core.source.kinds import Source, open_source
from dbmon_pipeline.core.source.redaction import Redactor

Progress = Callable[[str], None]

_MEMORY_LIMIT = "560MB"
_MOST_EXAMPLES = 20
_PROGRESS_SECONDS = 1.0


def roll_up_source(
    source: Path,
    config: MonitoringConfig,
    request: RefreshRequest,
    draft: Path,
    before: Generation | None,
    progress: Progress,
) -> RolledUp:
    """Write the tables of a draft from what has changed in the source.

    Args:
        source: The file or folder; the name of an address.
        config: The limits.
        request: What is asked for.
        draft: The folder to write the tables into.
        before: What is published now.
        progress: Called with a line now and then.

    Raises:
        SourceShrankError: Much of what is known is gone from the source.
        SourceError: The source cannot be read.
        StorageError: The draft cannot be written.
    """
    con = connect()
    try:
        with storage_errors(draft):
            _clear(draft)
            con.execute(f"SET memory_limit = '{_MEMORY_LIMIT}'")
            con.execute(f"SET temp_directory = {quoted(draft / '.spill')}")
            con.execute("SET preserve_insertion_order = false")
            folders = [draft, *([before.folder] if before else [])]
            opened = open_source(con, source, config.source, folders)
            return _RefreshWork(con, opened, config, request, draft, before, progress).run()
    finally:
        con.close()


def _clear(draft: Path) -> None:
    """Remove the files of an attempt whose process died."""
    for leftover in draft.iterdir():
        shutil.rmtree(leftover)


class _RefreshWork:
    """The tables, figures and differences of one refresh while they come about."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        source: Source,
        config: MonitoringConfig,
        request: RefreshRequest,
        draft: Path,
        before: Generation | None,
        progress: Progress,
    ) -> None:
        self._con = con
        self._source = source
        self._config = config
        self._request = request
        self._as_of: datetime = request.as_of
        self._before = before
        self._manifest = before.manifest if before else None
        self._progress = progress
        self._redactor = Redactor(config.redaction, self._con)
        self._writer = DraftWriter(con, draft, before, self._as_of.date())
        self._tables = TableWriter(con, self._writer, self._as_of, self._manifest)
        self._patterns = Patterns(con, self._writer, self._as_of)
        self._recent = RecentExecutions(con, self._writer, self._as_of)
        self._touched: set[date] = set()
        self._rows = 0
        self._seconds: dict[str, float] = {}
        self._bad_values: list[BadValue] = []
        self._duplicate: str | None = None
        self._source_differences: list[Difference] = []
        self._ledger_differences: list[Difference] = []

    def run(self) -> RolledUp:
        with self._phase("compare"):
            create_empty_tables(self._con)
            load_ledger(self._con, self._writer)
            found = find_changes(
                self._con,
                self._source,
                self._config,
                self._request,
                self._manifest,
                self._writer,
                self._redactor.digest,
            )
        if self._redaction_is_new(found):
            redact_published(self._con, self._writer, self._redactor)
        self._writer.small_years = small_years(self._con, found.plan.days)
        self._touched |= found.plan.days.keys()
        with self._tables:
            hours = self._roll_up(found)
            with self._phase("write"):
                self._write(found)
        return self._result(found, hours)

    def _roll_up(self, found: Found) -> Hours:
        """Read and roll up chunk after chunk."""
        made, con = found.plan, self._con
        hours = Hours(
            con,
            merged=made.merged,
            kept=made.kept,
            data_through=self._manifest.data_through if self._manifest else None,
        )
        rolling = RollUp(con, self._writer, self._as_of, made.kept)
        today = made.days.get(self._as_of.date(), {})
        self._recent.expect(sum(today.values()), anew=RECENT in found.anew)
        expected = sum(sum(rows.values()) for rows in made.days.values())
        started = told = time.monotonic()
        reading = ReadAhead(con, self._source, found.look.schema, self._as_of, self._redactor)
        with closing(reading.chunks(made.days, over_gaps=self._before is None)) as chunks:
            while incoming := self._next(chunks):
                with self._phase("roll up"):
                    self._roll_up_chunk(incoming.chunk, rolling, hours, made)
                now = time.monotonic()
                if now - told >= _PROGRESS_SECONDS:
                    told = now
                    self._progress(
                        f"read {self._rows:,} of {expected:,} rows, through"
                        f" {incoming.chunk.end.date()} ({self._rows / (now - started):,.0f} rows/s)"
                    )
        return hours

    def _roll_up_chunk(self, chunk: Chunk, rolling: RollUp, hours: Hours, made: Plan) -> None:
        merged = [hour for hour in made.merged if chunk.covers(hour)]
        kept_days = {hour.date() for hour in made.kept}
        self._recent.add_pruned_rows(merged, made.pruned_before)
        hours.roll_up(chunk)
        self._recent.gather(chunk.start, chunk.end)
        self._patterns.gather(self._touched - kept_days)
        rolling.roll_up(chunk)
        if not chunk.is_part_of_day:
            self._duplicate = count_within_days(self._con) or self._duplicate
        if not chunk.is_last_of_day:
            return
        if chunk.is_part_of_day:
            self._duplicate = count_within_days(self._con, DAY_ROWS) or self._duplicate
            self._con.execute(f"DROP TABLE {DAY_ROWS}")
        days = set(chunk.days) | self._days_of_rows()
        self._touched |= days
        self._ledger_differences += differences_from_ledger(
            self._con,
            sorted(days),
            kept_days,
            self._as_of.date() - PATTERN_DAYS,
            rolling.lost_days,
        )
        hours.settle(chunk)
        self._tables.write_complete(frozenset(self._touched), chunk.days[-1] + DAY)

    def _days_of_rows(self) -> set[date]:
        """List the days of the chunk's rows: some may be of days that had none before."""
        rows = self._con.execute(f"SELECT DISTINCT CAST(timestamp AS DATE) FROM {ROWS}").fetchall()
        return {day for (day,) in rows}

    def _next(self, chunks: Iterator[IncomingChunk]) -> IncomingChunk | None:
        """Take the next chunk that was read, and note what was found."""
        with self._phase("read"):
            incoming = next(chunks, None)
        if incoming:
            self._rows += incoming.read.rows
            self._bad_values += incoming.read.bad_values
            self._source_differences += incoming.differences
        return incoming

    def _write(self, found: Found) -> None:
        """Write what was rolled up, and link what did not change."""
        self._tables.finish(self._touched, found.anew)
        self._tables.write_patterns(self._patterns, self._touched, found.anew)
        self._recent.write(self._touched)
        self._tables.write_ledger(found.anew)

    def _redaction_is_new(self, found: Found) -> bool:
        before = self._manifest
        return before is not None and before.made_with.redaction != found.made_with.redaction

    def _result(self, found: Found, hours: Hours) -> RolledUp:
        writer, made, stats = self._writer, found.plan, self._source.stats
        recent = writer.draft_relation(TABLES["recent_executions"].name)
        quality = count_quality(self._con, self._as_of, self._touched, recent)
        through = self._manifest.data_through if self._manifest else None
        (executions,) = self._con.execute(
            f"SELECT coalesce(CAST(sum(executions) AS BIGINT), 0) FROM {KNOWN}"
        ).fetchall()[0]
        return RolledUp(
            tables={
                name: tuple(sorted(files, key=lambda file: file.name))
                for name, files in writer.files.items()
            },
            changed=writer.written,
            bytes_written=writer.bytes_written,
            linked=writer.linked,
            profile=msgspec.structs.replace(found.look.profile, pruned_before=made.pruned_before),
            made_with=found.made_with,
            recent_from=recent_from(self._as_of),
            executions=executions,
            bad_values=tuple(self._bad_values[:_MOST_EXAMPLES]),
            quality=quality.counts,
            quality_from=quality.start,
            duplicate_task_id=self._duplicate or quality.duplicate,
            reading=ReadingFigures(
                read_as=self._source.read_as,
                readings=stats.readings,
                thrown_away=stats.thrown_away,
                bytes_read=stats.bytes_read,
            ),
            changes=ChangeFigures(
                rows_read=self._rows,
                hours_changed=len(made.changed),
                days=tuple(sorted(self._touched)),
                late_rows=late_rows(made.changed, through) + hours.late_rows,
                rows_gone=max(made.gone, 0),
                is_replaced=found.is_replaced,
                unrepairable_hours=len(made.unrepairable),
            ),
            lost=lost_rows(writer, made.kept),
            purge=self._redaction_is_new(found),
            source_differences=tuple(self._source_differences),
            ledger_differences=tuple(self._ledger_differences),
            seconds=self._seconds,
        )

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - started
            self._seconds[name] = round(self._seconds.get(name, 0.0) + spent, 3)
