"""Kills at random instants: the next refresh heals them alone, and no reader notices."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from dbmon_pipeline.core.common.errors import DbmonError
from dbmon_pipeline_tests.helpers import clean_environ, dbmon_command, run_dbmon
from dbmon_pipeline_tests.soak.companion import Companion
from dbmon_pipeline_tests.soak.reading import Seen
from dbmon_pipeline_tests.soak.site import KEPT_GENERATIONS, Site
from dbmon_pipeline_tests.soak.work import Victim, Work

COMMAND = "command"
"""The victim that is ``dbmon refresh`` itself."""
ROUND = {Victim.TREE: 8, Victim.PARENT: 6, Victim.READER: 5, COMMAND: 1}
"""Twenty kills in one home."""

_FIRST_GUESS_SECONDS = 1.0
_TRIES = 10
"""How often a victim is tried that was done before it could be killed."""
_READER_ENDS_SECONDS = 10.0
_POLL_SECONDS = 0.01
_READING_EVERY_SECONDS = 0.5


@dataclass
class Kills:
    """Figures of the kills of one victim.

    Attributes:
        victim: Its name.
        killed: How often it was killed at work; the next refresh healed each of them.
        finished: How often it was done before it could be killed.
        published: After how many of the kills the new generation was there.
        seconds: How long a refresh takes when it is left alone.
        problems: What was not healed; the kills in that home end with it.
    """

    victim: str
    killed: int = 0
    finished: int = 0
    published: int = 0
    seconds: float = _FIRST_GUESS_SECONDS
    problems: list[str] = field(default_factory=list)


def kill_and_heal(folder: Path, plan: Mapping[str, int], seed: int) -> tuple[list[Kills], Seen]:
    """Kill refreshes, one after another in a home that is new at first, and heal each.

    Args:
        folder: The folder of source and home.
        plan: How many kills each victim is to have.
        seed: What chance begins with.

    Returns:
        What became of each victim, and what a reader saw.
    """
    chance = random.Random(seed)  # noqa: S311 - a seed, not a secret
    kills = {victim: Kills(victim) for victim in plan}
    order = [victim for victim, count in plan.items() for _ in range(count)]
    chance.shuffle(order)
    site = Site(folder, seed)
    with _reader_of(site) as seen:
        for number, victim in enumerate(order):
            if number == 1:
                _measure(site, kills)
            for _ in range(_TRIES):
                if _kill_once(site, kills[victim], chance.random()) or kills[victim].problems:
                    break
            if kills[victim].problems:
                break
    site.close()
    return list(kills.values()), seen


@contextmanager
def _reader_of(site: Site) -> Iterator[Seen]:
    """Have somebody read all along; what was seen is filled in at the end."""
    seen = Seen()
    reader = Companion("reading", site.settings.home.path, KEPT_GENERATIONS, _READING_EVERY_SECONDS)
    try:
        yield seen
        seen.__dict__.update(reader.end())
    finally:
        reader.kill()


def _measure(site: Site, kills: Mapping[str, Kills]) -> None:
    """Find out how long a refresh takes that is left alone."""
    site.go_on()
    seconds, error = Work(site.settings, site.as_of, full=True).end()
    assert not error, error
    for each in kills.values():
        if each.victim != COMMAND:
            each.seconds = seconds


def _kill_once(site: Site, kills: Kills, part: float) -> bool:
    """Kill after a part of the work and heal; tell whether the victim was still at it."""
    site.go_on()
    before = site.published()
    delay = part * kills.seconds
    try:
        if kills.victim == COMMAND:
            killed = _kill_command(site, delay)
        else:
            killed = _kill_work(site, kills, Victim(kills.victim), delay)
        is_new = site.assert_old_or_new(before)
        if killed and kills.victim != Victim.READER:
            kills.published += is_new
        elif kills.victim != COMMAND:
            assert is_new, "a refresh that went on published nothing"
        site.refresh()
        site.assert_refreshed()
    except (AssertionError, DbmonError, duckdb.Error) as error:
        problem = f"{kills.victim}, killed after {delay:.3f} s: {type(error).__name__}: {error}"
        kills.problems.append(problem[:1000])
        return False
    kills.killed += killed
    kills.finished += not killed
    return killed


def _kill_work(site: Site, kills: Kills, victim: Victim, delay: float) -> bool:
    work = Work(site.settings, site.as_of, full=True)
    lasted = work.kill_after(delay, victim)
    assert not work.error, work.error
    assert work.reader_has_ended(_READER_ENDS_SECONDS), "the reader process outlived its parent"
    kills.seconds = min(kills.seconds, lasted or kills.seconds)
    return lasted is None


def _kill_command(site: Site, delay: float) -> bool:
    """Kill the command some time after it has begun a draft."""
    command = dbmon_command(*site.refresh_arguments())
    generations = site.settings.home.generations
    with subprocess.Popen(command, env=clean_environ(), stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not [*generations.glob(".draft-*")]:
            time.sleep(_POLL_SECONDS)
        time.sleep(delay)
        process.kill()
    done = run_dbmon(*site.refresh_arguments())
    assert done.returncode == 0, done.stderr
    return process.returncode < 0
