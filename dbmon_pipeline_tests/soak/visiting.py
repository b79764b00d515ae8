"""A visitor of a live source: looks at its health, refreshes and asks it questions, in turn.

``python -m dbmon_pipeline_tests.soak.visiting SOURCE HOME`` looks once, says ``ready`` and visits
until its standard input is closed, refreshes once more, and reports as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dbmon_pipeline.core.common.errors import DbmonError
from dbmon_pipeline.core.common.instants import utc_now
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.database import RemoteDatabase
from dbmon_pipeline.core.query.open_reader import database_reader
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.core.source.health import source_health
from dbmon_pipeline.core.source.reader_client import shared_reader
from dbmon_pipeline_tests.helpers import refresh_core
from dbmon_pipeline_tests.soak.companion import until_stdin_closes
from dbmon_pipeline_tests.soak.owner_sql import BROKEN_PROMISES

_QUESTION = "success_rate_by_model_tier"
_MONTHS = timedelta(days=90)


@dataclass
class Visits:
    """Figures of a visitor.

    Attributes:
        refreshes: Refreshes that published.
        refresh_seconds: How long the longest took.
        rows_read: Rows that refreshes read.
        readings: Readings of the source by refreshes that counted.
        thrown_away: Those that did not.
        looks: How often the health of the source was looked at.
        writers_seen: How often its owner was seen to hold it.
        answers: How often the source itself answered, all of it as of one moment.
        refused: How often each was refused, by message; what was published stayed.
        faults: Tracebacks, and answers that counted and were wrong; there may be none.
    """

    refreshes: int = 0
    refresh_seconds: float = 0.0
    rows_read: int = 0
    readings: int = 0
    thrown_away: int = 0
    looks: int = 0
    writers_seen: int = 0
    answers: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def attempt(self, visit: Callable[[Settings], None], settings: Settings) -> None:
        """Visit, and note an error."""
        try:
            visit(settings)
        except DbmonError as error:
            message = f"{visit.__name__}: {error}"[:300]
            self.refused[message] = self.refused.get(message, 0) + 1
        except Exception as error:
            self.faults.append(f"{visit.__name__}: {type(error).__name__}: {error}"[:500])

    def refresh(self, settings: Settings) -> None:
        """Refresh, and hold what is published to what each row promises."""
        started = time.monotonic()
        done = refresh_core(settings, utc_now()).rolled_up
        self.refresh_seconds = max(self.refresh_seconds, round(time.monotonic() - started, 2))
        self.refreshes += 1
        self.rows_read += done.changes.rows_read
        self.readings += done.reading.readings
        self.thrown_away += done.reading.thrown_away
        if done.reading.read_as != "live":
            self.faults.append(f"the source was read as {done.reading.read_as}")
        with Published(settings.home) as published:
            relation = published.patterns("hourly_summary")
            published.con.execute(
                f"CREATE TEMP VIEW hourly_summary AS FROM read_parquet({relation})"
            )
            # Its days are of several readings, so a batch may be of several states.
            broken_rows, *_ = published.con.execute(BROKEN_PROMISES).fetchall()[0]
        if broken_rows:
            self.faults.append(f"{broken_rows} published cells have a broken row")

    def look(self, settings: Settings) -> None:
        """Look at the health of the source."""
        health = source_health(settings.source)
        self.looks += 1
        self.writers_seen += health.writer is not None
        if health.problem:
            self.faults.append(f"the source is said to be unwell: {health.problem}")

    def ask(self, settings: Settings) -> None:
        """Ask the source itself, and hold the answer to what rows and transactions promise."""
        now = utc_now()
        with database_reader(settings.source, settings.config, now) as reader:
            reader.ask(_QUESTION, TimeRange.DAY)
        broken_rows, broken_batches, executions = _promises(settings, now)
        self.answers += 1
        if broken_rows or broken_batches or not executions:
            self.faults.append(
                f"an answer has {broken_rows} cells with a broken row, {broken_batches} broken"
                f" batches and {executions} executions"
            )


def _promises(settings: Settings, now: datetime) -> tuple[Any, ...]:
    database = RemoteDatabase(shared_reader(), settings.source, settings.config, now)
    try:
        window = database.rows_window(_MONTHS, now)
        with database.workspace(window) as workspace:
            return tuple(workspace.rows(BROKEN_PROMISES, {}).rows[0])
    finally:
        database.close()


def _main(source: Path, home: Path) -> None:
    settings, visits = Settings.load(source, home, environ={}), Visits()
    stop = until_stdin_closes()
    visits.attempt(visits.look, settings)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while not stop.is_set():
        for visit in (visits.look, visits.refresh, visits.ask):
            visits.attempt(visit, settings)
    visits.attempt(visits.refresh, settings)
    sys.stdout.write(json.dumps(asdict(visits)))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]))
