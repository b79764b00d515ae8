"""A refresh, phase by phase: read and roll up, judge, publish.

Whoever runs it holds the home's lock. Nothing that is published changes before the last phase, and
each phase may be the last: what was drafted is dropped then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from importlib.metadata import version

import duckdb
import msgspec

from dbmon_pipeline.core.alerting.check_history import RecordedVerdict, record
from dbmon_pipeline.core.alerting.evaluate import evaluate
from dbmon_pipeline.core.changes.request import RefreshRequest
from dbmon_pipeline.core.common.duck import connect, storage_errors
from dbmon_pipeline.core.common.errors import RefreshError
from dbmon_pipeline.core.common.instants import day_start, iso, utc_now
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.generation.generation import Generation
from dbmon_pipeline.core.generation.publish import (
    Draft,
    open_draft,
    remove_old_generations,
    swap_in,
    write_manifest,
)
from dbmon_pipeline.core.generation.writer import DraftWriter
from dbmon_pipeline.core.query.open_reader import reading
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.rollup.result import RolledUp
from dbmon_pipeline.core.schema.catalogue import CHECK_HISTORY, REFRESH_HISTORY
from dbmon_pipeline.core.schema.columns import HISTORY_COLUMNS
from dbmon_pipeline.core.schema.manifest import Manifest
from dbmon_pipeline.core.source.file_check import refuse_unreadable_name
from dbmon_pipeline.core.source.reader_client import ReaderProcess

logger = logging.getLogger(__name__)

Progress = Callable[[str], None]

_DEATHS = 2
"""Times the work is begun again after the reader process died over a block that changed."""


@dataclass(frozen=True)
class Publication:
    """Publication made by a refresh.

    Attributes:
        manifest: What is published now.
        files_written: How many files were written anew.
        files_linked: How many were taken over unchanged.
        bytes_written: The size of those written, in bytes.
    """

    manifest: Manifest
    files_written: int
    files_linked: int
    bytes_written: int


class Refresh:
    """A refresh under way; made by :func:`open_refresh`.

    Attributes:
        request: What it was asked for.
        rolled_up: What was read and rolled up, once that is done.
        verdicts: What the rules said of it, once it is judged.
    """

    rolled_up: RolledUp
    verdicts: list[RecordedVerdict]

    def __init__(
        self,
        settings: Settings,
        draft: Draft,
        con: duckdb.DuckDBPyConnection,
        request: RefreshRequest,
    ) -> None:
        """Take a draft that nothing was written into."""
        self.request = request
        self._settings = settings
        self._draft = draft
        self._con = con
        self._writer = DraftWriter(con, draft.folder, draft.before, request.as_of.date())

    def read(self, reader: ReaderProcess, progress: Progress) -> RolledUp:
        """Have the reader process write the tables of what has changed in the source.

        Raises:
            SourceError: The source cannot be read.
            StorageError: The draft cannot be written.
            ReaderError: The reader process failed.
        """
        refuse_unreadable_name(self._settings.source)
        before = self._draft.before
        answer = reader.request(
            "roll_up",
            {
                "source": str(self._settings.source),
                "config": msgspec.to_builtins(self._settings.config),
                "request": msgspec.to_builtins(self.request),
                "draft": str(self._draft.folder),
                "before": str(before.folder) if before else None,
            },
            progress=progress,
            retries=_DEATHS,
        )
        self.rolled_up = msgspec.convert(answer, RolledUp)
        if missing := self.rolled_up.profile.missing_columns:
            columns = ", ".join(missing)
            logger.warning(
                "%s: executions lacks optional columns: %s", self._settings.source, columns
            )
        return self.rolled_up

    def judge(self) -> list[RecordedVerdict]:
        """Judge the rules on the draft, and add to the histories of refreshes and verdicts.

        Raises:
            StorageError: The draft cannot be written.
            NotPublishedError: A file cannot be read.
        """
        with storage_errors(self._draft.folder):
            self._add_to_refresh_history()
            self._writer.finish(CHECK_HISTORY, ())
        generation = Generation(self._draft.folder, self._manifest())
        as_of = self.request.as_of
        with Published(generation) as drafted, reading(drafted, as_of) as reader:
            alerts = evaluate(reader, self._settings.config)
        self.verdicts = [record(alert, as_of) for alert in alerts]
        with storage_errors(self._draft.folder):
            self._add_to_check_history()
        return self.verdicts

    def publish(self) -> Publication:
        """Have readers see the draft.

        Raises:
            StorageError: It cannot be written; what was published stays.
        """
        home, keep = self._settings.home, self._settings.config.keep.generations
        manifest = self._manifest()
        with storage_errors(home.published):
            write_manifest(self._draft, manifest)
            swap_in(home, self._draft)
        for folder in remove_old_generations(home, keep=1 if self.rolled_up.purge else keep):
            logger.warning("%s is out of date and could not be removed; remove it", folder)
        rolled_up, writer = self.rolled_up, self._writer
        return Publication(
            manifest=manifest,
            files_written=sum(rolled_up.changed.values()) + sum(writer.written.values()),
            files_linked=rolled_up.linked + writer.linked,
            bytes_written=rolled_up.bytes_written + writer.bytes_written,
        )

    def _manifest(self) -> Manifest:
        rolled_up, request = self.rolled_up, self.request
        histories = {
            name: tuple(sorted(files, key=lambda file: file.name))
            for name, files in self._writer.files.items()
        }
        return Manifest(
            generation=self._draft.number,
            as_of=request.as_of,
            data_through=request.as_of,
            published_at=utc_now(),
            executions=rolled_up.executions,
            recent_from=rolled_up.recent_from,
            source=rolled_up.profile,
            made_with=rolled_up.made_with,
            bad_values=rolled_up.bad_values,
            versions={"dbmon": version("dbmon-pipeline"), "duckdb": duckdb.__version__},
            tables={**rolled_up.tables, **histories},
        )

    def _add_to_refresh_history(self) -> None:
        changes, reading_figures = self.rolled_up.changes, self.rolled_up.reading
        self._load_today(REFRESH_HISTORY.name, "as_of")
        as_of = self.request.as_of
        self._con.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE done AS SELECT
                CAST($as_of AS TIMESTAMP) AS as_of, CAST($as_of AS TIMESTAMP) AS data_through,
                $rows_read AS rows_read, $hours_changed AS hours_changed, $late_rows AS late_rows,
                $rows_gone AS rows_gone, $unrepairable_hours AS unrepairable_hours,
                $read_as AS read_as, $readings AS readings, $thrown_away AS readings_thrown_away,
                $bytes_read AS bytes_read
            UNION ALL BY NAME SELECT * FROM {REFRESH_HISTORY.name} WHERE as_of = $as_of
            """,
            {
                "as_of": as_of,
                "rows_read": changes.rows_read,
                "hours_changed": changes.hours_changed,
                "late_rows": changes.late_rows,
                "rows_gone": changes.rows_gone,
                "unrepairable_hours": changes.unrepairable_hours,
                "read_as": reading_figures.read_as,
                "readings": reading_figures.readings,
                "thrown_away": reading_figures.thrown_away,
                "bytes_read": reading_figures.bytes_read,
            },
        )
        self._con.execute(f"DELETE FROM {REFRESH_HISTORY.name} WHERE as_of = $at", {"at": as_of})
        self._con.execute(
            f"""
            INSERT INTO {REFRESH_HISTORY.name} BY NAME
            SELECT
                as_of, max(data_through) AS data_through, sum(rows_read) AS rows_read,
                sum(hours_changed) AS hours_changed, sum(late_rows) AS late_rows,
                sum(rows_gone) AS rows_gone, max(unrepairable_hours) AS unrepairable_hours,
                any_value(read_as) AS read_as, sum(readings) AS readings,
                sum(readings_thrown_away) AS readings_thrown_away, sum(bytes_read) AS bytes_read
            FROM done GROUP BY as_of
            """
        )
        self._writer.finish(REFRESH_HISTORY, {as_of.date()})

    def _add_to_check_history(self) -> None:
        self._load_today(CHECK_HISTORY.name, "evaluated_at")
        self._con.execute(
            f"DELETE FROM {CHECK_HISTORY.name} WHERE evaluated_at = $at",
            {"at": self.request.as_of},
        )
        if self.verdicts:
            places = ", ".join("?" * len(fields(RecordedVerdict)))
            self._con.executemany(
                f"INSERT INTO {CHECK_HISTORY.name} VALUES ({places})",
                [astuple(verdict) for verdict in self.verdicts],
            )
        self._writer.replace_day(CHECK_HISTORY, self.request.as_of.date())

    def _load_today(self, name: str, time: str) -> None:
        """Fill a history with the rows that it has of today."""
        start = day_start(self.request.as_of.date())
        table = {CHECK_HISTORY.name: CHECK_HISTORY, REFRESH_HISTORY.name: REFRESH_HISTORY}[name]
        rows = self._writer.rows_before(table, start, self.request.as_of)
        self._con.execute(
            f"INSERT INTO {name} BY NAME SELECT * FROM ({rows}) WHERE {time} >= $start",
            {"start": start},
        )


@contextmanager
def open_refresh(settings: Settings, request: RefreshRequest) -> Iterator[Refresh]:
    """Begin a refresh, for whoever holds the home's lock; what it did not publish is dropped.

    Raises:
        RefreshError: The instant lies before the one that is published.
        NotPublishedError: What is published cannot be understood.
        StorageError: The home cannot be written.
    """
    home = settings.home
    with storage_errors(home.published), open_draft(home) as draft:
        _refuse_going_back(draft, request)
        with connect(threads=2) as con:
            for name, columns in HISTORY_COLUMNS.items():
                con.execute(f"CREATE TABLE {name} ({columns})")
            yield Refresh(settings, draft, con, request)


def _refuse_going_back(draft: Draft, request: RefreshRequest) -> None:
    """Refuse an instant before the published one, which would have to forget rows."""
    before = draft.before.manifest.as_of if draft.before else None
    if before and request.as_of < before:
        raise RefreshError(
            f"as-of {iso(request.as_of)} lies before {iso(before)}, as of which this home was"
            " refreshed",
            remedy="give a later instant, or another home with --home",
        )
