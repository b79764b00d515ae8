"""Refreshes a home as fast as it can.

``python -m dbmon_pipeline_tests.soak.refreshing SOURCE HOME EVERY`` refreshes until its standard
input is closed, every so many times by the real command (0: never), then once more, and tells its
record as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dbmon_pipeline.core.common.errors import DbmonError
from dbmon_pipeline.core.common.instants import utc_now
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline_tests.helpers import refresh_core, run_dbmon
from dbmon_pipeline_tests.soak.ending import until_told


@dataclass
class Record:
    """What became of the refreshes.

    Attributes:
        refreshes: Those that published.
        commands: How many of them were the real command.
        from_snapshot: How many read a guarded copy.
        rows: Rows that were copied.
        seconds: How long all of them took.
        holds: How often the source was attached, except by the real command.
        held_ms: For how long, in all.
        longest_hold_ms: The longest of them.
        core_seconds: How long those took that are not the real command.
        refused: How often a refresh gave up, by its message; what was published stayed.
        faults: What must not happen: a traceback, or a copy that differs.
    """

    refreshes: int = 0
    commands: int = 0
    from_snapshot: int = 0
    rows: int = 0
    seconds: float = 0.0
    holds: int = 0
    held_ms: float = 0.0
    longest_hold_ms: float = 0.0
    core_seconds: float = 0.0
    refused: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def refresh_in_process(self, settings: Settings) -> None:
        """Refresh without Dagster."""
        started = time.monotonic()
        try:
            done = refresh_core(settings, utc_now())
        except DbmonError as error:
            self._refuse(str(error))
        except Exception as error:
            self.faults.append(f"{type(error).__name__}: {error}"[:500])
        else:
            self.refreshes += 1
            self.rows += sum(extraction.rows for extraction in done.extractions)
            self.from_snapshot += any(extraction.snapshot for extraction in done.extractions)
            self.holds += len(done.holds_ms)
            self.held_ms += sum(done.holds_ms)
            self.longest_hold_ms = max(self.longest_hold_ms, *done.holds_ms, 0.0)
        self.core_seconds += time.monotonic() - started

    def refresh_by_command(self, settings: Settings) -> None:
        """Refresh by ``dbmon refresh``."""
        done = run_dbmon("refresh", "--source", settings.source, "--home", settings.home.path)
        last = (done.stderr.splitlines() or [""])[-1]
        if done.returncode == 0:
            self.refreshes += 1
            self.commands += 1
        elif done.returncode == 3 and "Traceback" not in done.stderr:
            self._refuse(last)
        else:
            self.faults.append(f"exit {done.returncode}: {last}"[:500])

    def _refuse(self, message: str) -> None:
        self.refused[message[:300]] = self.refused.get(message[:300], 0) + 1


def _main(source: Path, home: Path, every: int) -> None:
    settings, record = Settings.load(source, home, environ={}), Record()
    stop = until_told()
    started, count = time.monotonic(), 0
    is_last = False
    while not is_last:
        is_last = stop.is_set()
        count += 1
        if every and (is_last or count % every == 0):
            record.refresh_by_command(settings)
        else:
            record.refresh_in_process(settings)
    record.seconds = time.monotonic() - started
    sys.stdout.write(json.dumps(asdict(record)))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
