"""The soak: owners write, a visitor refreshes and asks, a reader reads what is published."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline_tests.helpers import clean_environ
from dbmon_pipeline_tests.soak.companion import Companion
from dbmon_pipeline_tests.soak.owners import Tally
from dbmon_pipeline_tests.soak.reading import Seen
from dbmon_pipeline_tests.soak.visiting import Visits
from dbmon_pipeline_tests.truth import assert_published, rows_of

OLDER_DUCKDB = Path(__file__).resolve().parents[2] / ".cache" / "duckdb-1.5"
_READING_EVERY_SECONDS = 1.0
"""A reading takes a quarter of a second of a core, which owners need to keep their rate."""


@dataclass(frozen=True)
class Trial:
    """One owner, of one DuckDB.

    Attributes:
        owner: A name of :data:`dbmon_pipeline_tests.soak.owners.OWNERS`.
        is_older: Whether it has DuckDB 1.5.
        seed: What chance begins with.
    """

    owner: str
    is_older: bool
    seed: int = 1


@dataclass(frozen=True)
class Outcome:
    """Figures of a trial.

    Attributes:
        trial: The trial.
        tally: What its owner went through.
        visits: What its visitor did.
        seen: What its reader saw.
        rows: How many executions the source holds at the end.
        compared: How many published rows were compared with brute force.
        problems: What must not be, in words.
    """

    trial: Trial
    tally: Tally
    visits: Visits
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

        def start(module: str, *arguments: object, **environ: object) -> Companion:
            companion = Companion(module, *arguments, environ=clean_environ(**environ))
            open_.callback(companion.kill)
            return companion

        path = OLDER_DUCKDB if trial.is_older else ""
        self.owner = start("owners", trial.owner, source, trial.seed, PYTHONPATH=path)
        self.owner.wait_until_ready()
        keep = self.settings.config.keep.generations
        self.reader = start("reading", home, keep, _READING_EVERY_SECONDS)
        self.visitor = start("visiting", source, home)

    def outcome(self, tally: Tally, visits: Visits) -> Outcome:
        seen = Seen(**self.reader.end())
        rows = rows_of(self.settings.source)
        problems = problems_of(tally, visits, seen)
        compared = 0
        try:
            compared = assert_published(self.settings.home, rows)
        except AssertionError as error:
            problems.append(f"what is published is not what the source holds: {error}"[:500])
        return Outcome(self.trial, tally, visits, seen, len(rows), compared, tuple(problems))


def soak(folder: Path, trials: list[Trial], seconds: float) -> list[Outcome]:
    """Run trials at the same time, each with a source and a home of its own.

    Args:
        folder: Where.
        trials: Which.
        seconds: For how long the owners write beside visitors that are there.
    """
    with ExitStack() as open_:
        running = [
            _Running(trial, folder / f"{number}-{trial.owner}", open_)
            for number, trial in enumerate(trials)
        ]
        for each in running:
            each.visitor.wait_until_ready()
        time.sleep(seconds)
        tallies = [Tally(**each.owner.end()) for each in running]
        for each in running:
            each.visitor.close_stdin()
        visits = [Visits(**each.visitor.end()) for each in running]
        return [
            each.outcome(tally, visited)
            for each, tally, visited in zip(running, tallies, visits, strict=True)
        ]


def problems_of(tally: Tally, visits: Visits, seen: Seen) -> list[str]:
    """Name what must not be.

    Args:
        tally: What the owner went through.
        visits: What the visitor did.
        seen: What the reader saw.
    """
    problems = [*visits.faults, *seen.broken]
    if tally.failed:
        problems.append(f"{tally.failed} of {tally.writes} writes failed: {tally.reasons}")
    for name, count in (
        ("write", tally.writes),
        ("refresh", visits.refreshes),
        ("look", visits.looks),
        ("answer", visits.answers),
        ("reading", seen.readings),
    ):
        if not count:
            problems.append(f"there was not one {name}: {visits.refused}")
    return problems
