"""The soak: owners write, refreshes run as fast as they can, a reader asks all along; judged."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import duckdb

from dbmon_pipeline.core.common.duck import STORAGE_VERSION
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline_tests.helpers import clean_environ
from dbmon_pipeline_tests.soak.ending import Companion
from dbmon_pipeline_tests.soak.owners import Tally
from dbmon_pipeline_tests.soak.reading import Seen
from dbmon_pipeline_tests.soak.refreshing import Record
from dbmon_pipeline_tests.truth import assert_published, rows_of

OLDER_DUCKDB = Path(__file__).resolve().parents[2] / ".cache" / "duckdb-1.5"
RETRY_SECONDS = 0.1
"""How long an owner waits before its second and last try."""
_READING_EVERY_SECONDS = 1.0
"""A reading takes a quarter of a second of a core, which owners need to keep their rate."""
FAILED_SHARE = 0.01
"""Which part of its first tries an owner that opens for each write may lose."""


@dataclass(frozen=True)
class Trial:
    """One owner on files of one DuckDB.

    Attributes:
        owner: A name of :data:`dbmon_pipeline_tests.soak.owners.OWNERS`.
        is_older: Whether it has the oldest DuckDB line that is supported.
        commands_every: Every how many refreshes one is by the real command; 0 for never.
        retry_seconds: How long its owner waits before its second and last try.
    """

    owner: str
    is_older: bool
    commands_every: int = 0
    retry_seconds: float = RETRY_SECONDS


@dataclass(frozen=True)
class Outcome:
    """What came out of a trial.

    Attributes:
        trial: Which one.
        tally: What its owner went through.
        record: What became of the refreshes.
        seen: What the reader saw.
        rows: How many executions the source holds at the end.
        compared: How many published rows were compared with brute force.
        problems: What must not be, in words.
    """

    trial: Trial
    tally: Tally
    record: Record
    seen: Seen
    rows: int
    compared: int
    problems: tuple[str, ...]


class _Running:
    """A trial under way, in a folder of its own."""

    def __init__(self, trial: Trial, folder: Path, open_: ExitStack) -> None:
        self.trial = trial
        folder.mkdir(parents=True)
        self.settings = Settings.load(folder / "learning.db", folder / "home", environ={})
        source, home = self.settings.source, self.settings.home.path

        def start(
            module: str, *arguments: object, environ: dict[str, str] | None = None
        ) -> Companion:
            companion = Companion(module, *arguments, environ=environ)
            open_.callback(companion.kill)
            return companion

        environ = clean_environ(PYTHONPATH=OLDER_DUCKDB if trial.is_older else "")
        is_too_new = not trial.is_older and duckdb.__version__.startswith("1.")
        storage = STORAGE_VERSION if is_too_new else ""
        self.owner = start(
            "owners", trial.owner, source, trial.retry_seconds, storage, environ=environ
        )
        self.owner.wait_until_ready()
        keep = self.settings.config.keep.generations
        self.reader = start("reading", home, keep, _READING_EVERY_SECONDS)
        self.refresher = start("refreshing", source, home, trial.commands_every)

    def outcome(self, tally: Tally, record: Record, *, most_failed: float) -> Outcome:
        seen = Seen(**self.reader.end())
        rows = rows_of(self.settings.source)
        problems = problems_of(self.trial, tally, record, seen, most_failed)
        compared = 0
        try:
            compared = assert_published(self.settings.home, rows)
        except AssertionError as error:
            problems.append(f"what is published is not what the source holds: {error}")
        return Outcome(self.trial, tally, record, seen, len(rows), compared, tuple(problems))


def soak(
    folder: Path,
    trials: list[Trial],
    seconds: float,
    *,
    most_failed: float = FAILED_SHARE,
) -> list[Outcome]:
    """Run trials at the same time, each with a source and a home of its own.

    Args:
        folder: Where.
        trials: Which.
        seconds: For how long the owners write.
        most_failed: Which part of its first tries an owner that opens for each write may lose.
    """
    with ExitStack() as open_:
        running = [
            _Running(trial, folder / f"{number}-{trial.owner}", open_)
            for number, trial in enumerate(trials)
        ]
        time.sleep(seconds)
        tallies = [Tally(**each.owner.end()) for each in running]
        for each in running:
            each.refresher.tell()
        records = [Record(**each.refresher.end()) for each in running]
        return [
            each.outcome(tally, record, most_failed=most_failed)
            for each, tally, record in zip(running, tallies, records, strict=True)
        ]


def lines() -> list[bool]:
    """Whether each DuckDB that an owner can have here is the oldest line."""
    return [True, False] if (OLDER_DUCKDB / "duckdb").is_dir() else [False]


def problems_of(
    trial: Trial, tally: Tally, record: Record, seen: Seen, most_failed: float
) -> list[str]:
    """What must not be, in words.

    Args:
        trial: Which owner it was.
        tally: What it went through.
        record: What became of the refreshes.
        seen: What the reader saw.
        most_failed: Which part of its first tries an owner that opens for each write may lose.
    """
    problems = [*record.faults, *seen.broken]
    holds_it_open = trial.owner in ("hold_open", "big")
    if tally.failed if holds_it_open else tally.lost:
        problems.append(f"{tally.failed} writes failed, {tally.lost} again: {tally.reasons}")
    if trial.owner == "open_per_write" and tally.failed_share > most_failed:
        problems.append(f"{tally.failed_share:.2%} of {tally.writes} first tries failed")
    for what, count, wanted in (
        ("write", tally.writes, True),
        ("refresh", record.refreshes, True),
        ("command", record.commands, trial.commands_every),
        ("reading", seen.readings, True),
    ):
        if wanted and not count:
            problems.append(f"there was not one {what}: {dict(record.refused)}")
    return problems
