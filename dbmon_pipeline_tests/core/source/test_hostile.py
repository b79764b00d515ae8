"""Bad sources: each ends in a clear error or in right numbers, and takes no process along."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dbmon_pipeline.core.common import errors
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.home.locks import HomeLock
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.source.reader_client import ReaderProcess
from dbmon_pipeline_tests.core.source import (
    hostile,
    hostile_damage,
    hostile_files,
    impatient_reader,
)
from dbmon_pipeline_tests.core.source.hostile_case import AS_OF, AT, Case, Ends, row
from dbmon_pipeline_tests.core.source.hostile_tables import CANARY
from dbmon_pipeline_tests.helpers import (
    make_odd_source,
    published_rows,
    refresh_core,
    refresh_with,
    run_dbmon,
    settings_for,
    state_of,
)
from dbmon_pipeline_tests.oracle import Row, assert_same_rows, expected_tables
from dbmon_pipeline_tests.truth import comparable_hours

_PATIENCE_SECONDS = 60.0
_MOST_MEMORY_MB = 2_000
_MOST_ALLOCATED = 8 << 30
_LATER = AS_OF + timedelta(hours=1)
_PAUSES_SECONDS = (0.003, 0.003, 0.003, 0.1)


class Worker:
    """The reader process that meets the bad sources; another one takes over if it dies of one."""

    def __init__(self, module: str = "dbmon_pipeline.core.reader") -> None:
        """Start nothing yet."""
        self._module = module
        self._reader = ReaderProcess(module=module)

    def refresh(
        self, source: Path, home: Path, as_of: datetime = AS_OF, *, has_rules: bool = True
    ) -> dict[str, Any]:
        """Tell how a refresh ends.

        Raises:
            AssertionError: It takes for ever.
        """
        process = self._reader.request("ping")["process"]
        resource.prlimit(process, resource.RLIMIT_DATA, (_MOST_ALLOCATED, _MOST_ALLOCATED))
        too_long = threading.Timer(_PATIENCE_SECONDS, self._reader.close)
        too_long.start()
        settings = settings_at(source, Home(home), has_rules=has_rules)
        lock = HomeLock(settings.home)
        try:
            done = refresh_with(lock, self._reader, settings, as_of, accept_shrink=True)
        except errors.DbmonError as error:
            ended: dict[str, Any] = {"error": type(error).__name__, "text": str(error)}
        else:
            ended = {"schema_version": done.rolled_up.profile.schema_version}
        finally:
            too_long.cancel()
            lock.close()
        if self._reader.is_closed:
            self._reader = ReaderProcess(module=self._module)
            pytest.fail(f"{source} keeps a refresh busy for ever")
        process = self._reader.request("ping")["process"]
        peak = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{process}/status").read_text())
        assert peak
        return ended | {"peak_mb": int(peak[1]) // 1024}

    def end(self) -> None:
        """End the process."""
        self._reader.close()


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """One process for as many sources as it outlives."""
    made = Worker()
    yield made
    made.end()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home after one good refresh."""
    made = settings_for(tmp_path_factory.mktemp("good"))
    make_odd_source(made.source, [row(task_id="published")])
    refresh_core(made, AS_OF)
    return made.home


def case_ids(case: Case) -> str:
    """Its name, as pytest can print it."""
    return case.name.encode("unicode_escape").decode()


@pytest.fixture(scope="module")
def refusals() -> set[tuple[str, ...]]:
    """The kinds of refusals that both homes have met."""
    return set()


@pytest.mark.parametrize("case", hostile.CASES, ids=case_ids)
def test_a_bad_source(
    case: Case, tmp_path: Path, worker: Worker, good: Home, refusals: set[tuple[str, ...]]
) -> None:
    """A new home gets the right figures, or none; one with figures keeps them, to the byte.

    The second home is tried with one case of a kind. Rules judge where values may be odd.
    """
    (tmp_path / "source").mkdir()
    source = tmp_path / "source" / case.file
    ends = case.make(source)
    home = Home(tmp_path / "home")
    has_rules = ends.anything or case not in (*hostile_damage.CASES, *hostile_files.CASES)
    ended = worker.refresh(source, home.path, has_rules=has_rules)
    assert ended["peak_mb"] < _MOST_MEMORY_MB
    if "error" in ended:
        check_refusal(ended, ends, source)
        assert not home.current.exists()
        kind = (ended["error"], ends.words, *case.name.split()[:2])
        if kind not in refusals:
            refusals.add(kind)
            check_kept(worker, source, good, ends)
    else:
        assert ended["schema_version"] in (None, 1)
        check_figures(settings_at(source, home), ends)
    for file in home.path.rglob("*"):
        assert file.is_dir() or CANARY.encode() not in file.read_bytes(), file


def check_kept(worker: Worker, source: Path, good: Home, ends: Ends) -> None:
    """A home with figures refuses the source, too, and keeps them."""
    before = state_of(good)
    again = worker.refresh(source, good.path, _LATER)
    check_refusal(again, ends, source)
    assert state_of(good) == before
    rows = published_rows(settings_at(source, good), "recent_executions")
    assert [found["task_id"] for found in rows] == ["published"]


def check_refusal(ended: dict[str, Any], ends: Ends, source: Path) -> None:
    """The error is one that may be, names the file, and is on one line."""
    assert ends.refused, ended
    assert issubclass(getattr(errors, ended["error"]), ends.refused), ended
    shown = os.fsencode(source).decode(errors="replace")
    assert " ".join(shown.split()) in ended["text"]
    assert re.search(ends.words, ended["text"]), ended["text"]
    assert "\n" not in ended["text"]
    assert CANARY not in ended["text"]


def check_figures(settings: Settings, ends: Ends) -> None:
    """Every published table is what brute force makes of one of the states that may be."""
    if ends.anything:
        return
    assert ends.states, "it must be refused"
    published = Published(settings.home)

    def table(name: str) -> list[Row]:
        found = published.rows(name)
        rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
        return comparable_hours(rows) if name == "hour_ledger" else rows

    count = len(table("recent_executions"))
    state = next((rows for rows in ends.states if len(recent(rows)) == count), ends.states[-1])
    for name, expected in expected_tables(state, AS_OF).items():
        assert_same_rows(table(name), expected, where=name)


def recent(rows: list[Row]) -> list[Row]:
    """Those of today and the two days before."""
    midnight = AS_OF.replace(hour=0, minute=0)
    return [row for row in rows if row["timestamp"] >= midnight - timedelta(days=2)]


def settings_at(source: Path, home: Home, *, has_rules: bool = True) -> Settings:
    """Settings for a source and a home."""
    config = settings_for(home.path, **({} if has_rules else {"rules": {}})).config
    return Settings(source, home, config)


def test_there_are_enough() -> None:
    """No two share a name."""
    names = {case.name for case in hostile.CASES}
    assert len(names) == len(hostile.CASES) >= 60


@pytest.fixture
def impatient() -> Iterator[Worker]:
    """A process that tries for less long than a refresh does."""
    made = Worker(impatient_reader.MODULE)
    yield made
    made.end()


def test_a_source_that_changes_while_it_is_read(tmp_path: Path, impatient: Worker) -> None:
    """Replaced and cut short all along, it is read or refused; once it rests, all is right."""
    source = tmp_path / "learning.db"
    rows = [
        [row(task_id=f"{n}", repo=repo, timestamp=AT + timedelta(seconds=n)) for n in range(count)]
        for repo, count in (("a", 400), ("b", 300))
    ]
    contents = [
        make_odd_source(tmp_path / f"{n}.db", of_it).read_bytes() for n, of_it in enumerate(rows)
    ]
    source.write_bytes(contents[0])
    stop = threading.Event()

    def change() -> None:
        turn, chance = 0, random.Random(3)  # noqa: S311 - pauses, not secrets
        while not stop.is_set():
            turn += 1
            draft = tmp_path / "draft"
            draft.write_bytes(contents[turn % 2])
            draft.replace(source)
            time.sleep(chance.choice(_PAUSES_SECONDS))
            if turn % 3 == 0:
                os.truncate(source, 5_000 + turn % 7 * 40_000)
                time.sleep(chance.choice(_PAUSES_SECONDS))

    changing = threading.Thread(target=change)
    changing.start()
    home = tmp_path / "home"
    try:
        ends = [impatient.refresh(source, home) for _ in range(8)]
    finally:
        stop.set()
        changing.join()
    for ended in ends:
        assert str(source) in ended.get("text", str(source))
    source.write_bytes(contents[1])
    assert "error" not in impatient.refresh(source, home)
    check_figures(settings_at(source, Home(home)), Ends(states=(rows[1],)))


@pytest.mark.parametrize("name", ["file: pipe", "holds a view of a pipe"])
def test_a_bad_source_by_command(name: str, tmp_path: Path, good: Home) -> None:
    """One line on stderr, the exit code of an error, and no traceback."""
    (case,) = [case for case in hostile.CASES if case.name == name]
    ends = case.make(tmp_path / case.file)
    assert ends.refused
    kind = ends.refused.__name__
    before = state_of(good)
    source = tmp_path / case.file
    where = ("--source", source, "--home", good.path, "--as-of", _LATER)
    ended = run_dbmon("refresh", *where)
    assert (ended.returncode, ended.stdout) == (3, "")
    (line,) = ended.stderr.splitlines()
    check_refusal({"error": kind, "text": line.removeprefix("dbmon: ")}, ends, source)
    told = run_dbmon("status", "--db", source, "--format", "json")
    assert (told.returncode, told.stderr) == (2, "")
    (text,) = json.loads(told.stdout)["errors"]
    check_refusal({"error": kind, "text": text}, ends, source)
    assert state_of(good) == before
