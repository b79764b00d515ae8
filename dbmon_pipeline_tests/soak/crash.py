"""Kills at random moments: the next refresh heals them alone, and no reader notices."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from dbmon_pipeline.core.archive.archive import archive
from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.common.errors import DbmonError
from dbmon_pipeline.core.common.instants import DAY, day_start
from dbmon_pipeline.core.config.monitoring import Keep, SourceLimits
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.warehouse.plan import Scope
from dbmon_pipeline_tests.helpers import (
    HOLD_DATABASE,
    add_rows,
    change_source,
    clean_environ,
    dbmon_command,
    execution,
    make_source,
    refresh_core,
    run_dbmon,
    running,
    settings_for,
)
from dbmon_pipeline_tests.soak.ending import Companion
from dbmon_pipeline_tests.soak.reading import Seen
from dbmon_pipeline_tests.soak.victims import (
    FEWEST_GENERATIONS,
    HELD,
    VICTIMS,
    Work,
    archive_folder,
    archived_before,
)
from dbmon_pipeline_tests.truth import Row, assert_published, rows_of

COMMAND = "command"
"""The victim that is ``dbmon refresh`` itself."""
ROUND = {
    "refresh": 4,
    "publication": 3,
    "retention": 2,
    "snapshot": 2,
    "archive": 2,
    "migration": 2,
    "restore": 2,
    "compaction": 2,
    COMMAND: 1,
}
"""Twenty kills in one home."""

_START = datetime(2026, 2, 26, 12)
_ANCHOR = 131 * DAY
"""How old the oldest row is, which is never deleted: that would look like pruning."""
_OLDEST = 130 * DAY
_LATE_SHARE = 0.3
"""How often a day of long ago changes, too, which is a run of its own."""
_FIRST_GUESS_SECONDS = 1.0
_TRIES = 10
"""How often a victim is tried that was done before it could be killed."""


@dataclass
class Kills:
    """What became of the kills of one victim.

    Attributes:
        victim: Its name.
        killed: How often it was killed at work; the next refresh healed each of them.
        finished: How often it was done before it could be killed.
        seconds: How long it takes when it is left alone.
        problems: What was not healed; the kills in that home end with it.
    """

    victim: str
    killed: int = 0
    finished: int = 0
    seconds: float = _FIRST_GUESS_SECONDS
    problems: list[str] = field(default_factory=list)


class Site:
    """A source whose owner changes it between the kills, and a home."""

    def __init__(self, folder: Path, seed: int) -> None:
        """Make a source with a history of four months; nothing is refreshed yet."""
        self.settings: Settings = settings_for(
            folder,
            keep=Keep(generations=FEWEST_GENERATIONS + 2),
            source=SourceLimits(lock_wait_seconds=0.2),
        )
        self.as_of = _START
        self._chance = random.Random(seed)  # noqa: S311
        rows = [self._row(_START - self._age(_OLDEST)) for _ in range(600)]
        make_source(self.settings.source, [execution(_START - _ANCHOR), *rows])

    def _age(self, oldest: timedelta) -> timedelta:
        return self._chance.random() * oldest

    def _row(self, timestamp: datetime) -> Row:
        chance = self._chance
        is_good = chance.random() < 0.8
        return execution(
            timestamp.replace(microsecond=0),
            repo=chance.choice(["a", "b"]),
            model_tier=chance.choice(["small", "large", None]),
            success=is_good,
            duration_seconds=chance.randrange(1, 4000) / 8,
            error_type=None if is_good else chance.choice(["Timeout", "Refused"]),
            error_message=None if is_good else f"step {chance.randrange(9)}",
            complexity_score=chance.choice([None, 3, 55]),
            solution_summary=chance.choice([None, "again", "wait"]),
        )

    def go_on(self) -> None:
        """Let some hours pass, in which the owner inserts, changes and deletes.

        Mostly rows of the last two days, now and then also some of a day of long ago.
        """
        chance, source = self._chance, self.settings.source
        self.as_of += timedelta(minutes=chance.randrange(12 * 60, 36 * 60))
        old = (_START - chance.randrange(3, _OLDEST.days) * DAY).date()
        is_late = chance.random() < _LATE_SHARE

        def is_touched(timestamp: datetime) -> bool:
            is_old = is_late and timestamp.date() == old
            return is_old or self.as_of - timestamp < timedelta(hours=40)

        rows = [self._row(self.as_of - self._age(timedelta(hours=5))) for _ in range(8)]
        if is_late:
            rows += [self._row(day_start(old) + self._age(DAY)) for _ in range(2)]
        add_rows(source, rows)
        ids = [row["task_id"] for row in rows_of(source) if is_touched(row["timestamp"])]
        chosen = chance.sample(ids, 6)
        change_source(
            source,
            "UPDATE executions SET success = NOT success, user_rating = 1"
            " WHERE task_id IN (SELECT unnest($ids))",
            ids=chosen[:4],
        )
        change_source(
            source, "DELETE FROM executions WHERE task_id IN (SELECT unnest($ids))", ids=chosen[4:]
        )

    def refresh(self) -> None:
        """Refresh, as whoever comes next does."""
        refresh_core(self.settings, self.as_of, Scope.FULL)

    def refresh_by_command(self) -> None:
        """Refresh by ``dbmon refresh``."""
        done = run_dbmon(*self.command[1:])
        assert done.returncode == 0, done.stderr

    @property
    def command(self) -> list[str]:
        """``dbmon refresh`` for this site."""
        settings = self.settings
        places = ("--source", settings.source, "--home", settings.home.path)
        return dbmon_command("refresh", *places, "--as-of", f"{self.as_of}Z", "--full")

    def held(self, victim: str) -> AbstractContextManager[None]:
        """The source held open by its owner, for a victim that is to find it so."""
        return running(HOLD_DATABASE, self.settings.source) if victim in HELD else nullcontext()

    def assert_archived(self) -> None:
        """See that an archive goes on where it was killed, and holds all rows that are old.

        Raises:
            AssertionError: It does not.
        """
        before, out = archived_before(self.as_of), archive_folder(self.settings, self.as_of)
        archive(self.settings, before, out)
        written = [str(path) for path in out.glob("*.parquet")]
        ids = duckdb.execute("SELECT task_id FROM read_parquet($f)", {"f": written}).fetchall()
        shutil.rmtree(out)
        assert sorted(task_id for (task_id,) in ids) == sorted(
            str(row["task_id"])
            for row in rows_of(self.settings.source)
            if row["timestamp"].date() < before
        )

    def assert_healed(self, rows: list[Row]) -> None:
        """See that all is as if nothing had ever happened.

        Raises:
            AssertionError: It is not.
        """
        home = self.settings.home
        assert_published(home, rows, self.as_of)
        generations = list((home.published / "generations").iterdir())
        assert all(path.name.isdigit() for path in generations), generations
        assert len(generations) <= self.settings.config.keep.generations
        assert {path.name for path in home.published.iterdir()} == {"current", "generations"}
        with connect(home.warehouse) as con:
            left = con.execute(
                "SELECT table_name FROM duckdb_tables() WHERE database_name = 'opened'"
                " AND (table_name LIKE 'incoming%' OR table_name LIKE '%_before')"
            ).fetchall()
            waiting = con.execute("FROM pending_days").fetchall()
        assert (left, waiting) == ([], [])

    @contextmanager
    def read(self) -> Iterator[Seen]:
        """Have somebody read all along.

        Yields:
            What was seen, filled in at the end.
        """
        seen = Seen()
        reader = Companion("reading", self.settings.home.path, FEWEST_GENERATIONS, 0.1)
        try:
            yield seen
            seen.__dict__.update(reader.end())
        finally:
            reader.kill()


def crash(folder: Path, plan: Mapping[str, int], seed: int) -> tuple[list[Kills], Seen]:
    """Kill victims, one after another in a home that is new at first, and heal each.

    Args:
        folder: Where.
        plan: How many kills each victim is to have; the names of ``VICTIMS``, and ``COMMAND``.
        seed: What chance begins with.

    Returns:
        What became of each, and what a reader saw.
    """
    chance = random.Random(seed)  # noqa: S311
    kills = {victim: Kills(victim) for victim in plan}
    order = [victim for victim, count in plan.items() for _ in range(count)]
    first, rest = order[0], order[1:]
    chance.shuffle(rest)
    site = Site(folder, seed)
    with site.read() as seen:
        _kill_and_heal(site, kills[first], chance.random())
        _measure(site, kills)
        for victim in rest if kills[first].killed else [first, *rest]:
            for _ in range(_TRIES):
                if _kill_and_heal(site, kills[victim], chance.random()) or kills[victim].problems:
                    break
            if kills[victim].problems:
                break
    return list(kills.values()), seen


def _measure(site: Site, kills: Mapping[str, Kills]) -> None:
    """Find out how long each victim takes when it is left alone."""
    for victim in kills.keys() & VICTIMS.keys():
        site.go_on()
        with site.held(victim):
            kills[victim].seconds, error = Work(VICTIMS[victim], site.settings, site.as_of).end()
        assert not error


def _kill_and_heal(site: Site, kills: Kills, part: float) -> bool:
    """Kill after a part of the work, heal, and tell whether the victim was still at it."""
    site.go_on()
    rows = rows_of(site.settings.source)
    delay = part * kills.seconds
    killed = False
    try:
        with site.held(kills.victim):
            if kills.victim == COMMAND:
                killed = _kill_command(site, delay)
                started = time.monotonic()
                site.refresh_by_command()
                kills.seconds = (time.monotonic() - started) / 2  # The other half is imports.
            else:
                work = Work(VICTIMS[kills.victim], site.settings, site.as_of)
                lasted = work.kill_after(delay)
                assert not work.error, work.error
                killed = lasted is None
                kills.seconds = min(kills.seconds, lasted or kills.seconds)
                site.refresh()
        if kills.victim == "archive":
            site.assert_archived()
        site.assert_healed(rows)
    except (AssertionError, DbmonError, duckdb.Error) as error:
        problem = f"{kills.victim}, killed after {delay:.3f} s: {type(error).__name__}: {error}"
        kills.problems.append(problem[:500])
        return False
    kills.killed += killed
    kills.finished += not killed
    return killed


def _kill_command(site: Site, delay: float) -> bool:
    """Kill the command some time after it has said which days it refreshes."""
    with subprocess.Popen(
        site.command, env=clean_environ(), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        first = process.stderr.readline()
        assert first.startswith("refreshing "), first
        time.sleep(delay)
        process.kill()
    return process.returncode < 0
