"""Bad input: a refresh that cannot be done says so in one line, and leaves everything as it was."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.learning_db.sample import Scenario, make_sample
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.schema.catalogue import ROLLED_UP
from dbmon_pipeline_tests.command import dbmon_here
from dbmon_pipeline_tests.helpers import (
    DROP_PRIVILEGES,
    HOLD_DATABASE,
    add_rows,
    change_source,
    clean_environ,
    dbmon_command,
    execution,
    make_odd_source,
    make_source,
    published_rows,
    refresh_core,
    run_dbmon,
    running,
    settings_for,
    state_of,
)

AS_OF = datetime.fromisoformat("2026-02-10T12:00")
AT = datetime.fromisoformat("2026-02-10T09:30")
LATER = (AS_OF + timedelta(hours=1)).isoformat()


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A source and a home after one good refresh by the real command."""
    settings = settings_for(tmp_path_factory.mktemp("first"))
    make_source(settings.source, [execution(AT + timedelta(seconds=n)) for n in range(5)])
    ended = refresh(settings, as_of=AS_OF.isoformat())
    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr.splitlines()[-1] == (
        "published generation 1: 5 new or changed rows;"
        " the source was read through 2026-02-10T12:00:00Z"
    )
    return settings


@pytest.fixture
def settings(first: Settings, tmp_path: Path) -> Settings:
    """A copy of them, for the test to spoil, with one execution more to read."""
    shutil.copytree(first.home.path, tmp_path / "home", symlinks=True)
    shutil.copy(first.source, tmp_path / "learning.db")
    made = settings_for(tmp_path)
    add_rows(made.source, [execution(AT + timedelta(minutes=1))])
    return made


def refresh(
    settings: Settings, *more: str, as_of: str = LATER, first: str = "", **environ: object
) -> subprocess.CompletedProcess[str]:
    """Run the command, in a process of its own if that has to do something first."""
    where = ("--source", settings.source, "--home", settings.home.path, "--as-of", as_of)
    if first:
        return run_dbmon("refresh", *where, *more, first=first, **environ)
    return dbmon_here("refresh", *where, *more, **environ)


def told(ended: subprocess.CompletedProcess[str]) -> str:
    """The one line with which a command failed; besides it there may be lines of progress."""
    assert (ended.returncode, ended.stdout) == (3, "")
    *progress, error = ended.stderr.splitlines()
    assert not any(line.startswith(("Traceback", "dbmon: ")) for line in progress), ended.stderr
    assert error.startswith("dbmon: ")
    assert not error.startswith("dbmon: unexpected")
    return error.removeprefix("dbmon: ")


def config(path: Path, text: str) -> Path:
    """Write a rules file."""
    path.write_text(text)
    return path


def spoil_missing(path: Path) -> str:
    """Remove it."""
    path.unlink()
    return "does not exist: name the learning.db with --source or DBMON_SOURCE"


def spoil_text(path: Path) -> str:
    """Write something else over it."""
    path.write_text("not a database\n" * 1_000)
    return "is not a DuckDB database: name a DuckDB learning.db"


def spoil_cut(path: Path) -> str:
    """Cut it in half, where blocks of the table lie."""
    content = path.read_bytes()
    path.write_bytes(content[:20_000])
    return "is damaged or cut short"


def spoil_column(path: Path) -> str:
    """Leave out a required column."""
    path.unlink()
    make_odd_source(path, [execution(AT)], success=None)
    return "executions has no column 'success': add it"


def spoil_value(path: Path) -> str:
    """Store values that are found only in mid-run."""
    path.unlink()
    rows = [execution(AT, duration_seconds="abc") for _ in range(30)]
    make_odd_source(path, rows, duration_seconds="VARCHAR")
    return "30 of 30 values of executions.duration_seconds cannot be read, for instance 'abc'"


@pytest.mark.parametrize("spoil", [spoil_missing, spoil_text, spoil_cut, spoil_column, spoil_value])
def test_a_bad_source_changes_nothing(settings: Settings, spoil: Callable[[Path], str]) -> None:
    """The other ways in which it can be bad are tested at the core, where that is quicker."""
    words = spoil(settings.source)
    before = state_of(settings.home)
    message = told(refresh(settings))
    assert message.startswith(str(settings.source))
    assert words in message
    assert state_of(settings.home) == before


def test_a_source_that_may_not_be_read(settings: Settings) -> None:
    """The user is named, since it is the service's and not the person's."""
    settings.source.chmod(0)
    before = state_of(settings.home)
    message = told(refresh(settings, first=DROP_PRIVILEGES))
    assert message == (
        f"{settings.source} may not be read by user {os.getuid()}: grant read permission on it"
    )
    assert state_of(settings.home) == before
    settings.source.chmod(0o400)
    assert refresh(settings, first=DROP_PRIVILEGES).returncode == 0


def test_a_home_that_may_not_be_written(settings: Settings) -> None:
    """It is named with its remedy, and reading it still works."""
    before = state_of(settings.home)
    folders = [path for path in settings.home.path.rglob("*") if path.is_dir()]
    for path in (*folders, settings.home.path):
        path.chmod(0o555)
    settings.home.lock.chmod(0o444)
    try:
        message = told(refresh(settings, first=DROP_PRIVILEGES))
        listed = run_dbmon("tables", "--home", settings.home.path, first=DROP_PRIVILEGES)
    finally:
        for path in (settings.home.path, *folders):
            path.chmod(0o755)
        settings.home.lock.chmod(0o644)
    assert message.startswith(f"{settings.home.path} cannot be written (Permission denied)")
    assert "name a folder that you may write with --home or DBMON_HOME" in message
    assert listed.returncode == 0
    assert "recent_executions" in listed.stdout
    assert state_of(settings.home) == before


def test_a_new_home_below_a_folder_that_may_not_be_written(
    settings: Settings, tmp_path: Path
) -> None:
    """The same, when nothing is there yet."""
    (tmp_path / "closed").mkdir(mode=0o555)
    closed = Settings(settings.source, Home(tmp_path / "closed" / "home"), settings.config)
    message = told(refresh(closed, first=DROP_PRIVILEGES))
    assert message.startswith(f"{closed.home.path} cannot be written (Permission denied): name a ")


def test_a_home_that_is_a_file(settings: Settings, tmp_path: Path) -> None:
    """The file stays."""
    (tmp_path / "file").write_text("precious")
    other = Settings(settings.source, Home(tmp_path / "file"), settings.config)
    message = told(refresh(other))
    assert message.startswith(f"{tmp_path / 'file'} cannot be written (File exists): name a ")
    assert (tmp_path / "file").read_text() == "precious"


def test_a_source_that_its_owner_holds(settings: Settings) -> None:
    """Nobody notices: it is read live."""
    with running(HOLD_DATABASE, settings.source):
        ended = refresh(settings)
    assert ended.returncode == 0, ended.stderr
    assert len(published_rows(settings, "recent_executions")) == 6


def test_a_full_disk(settings: Settings) -> None:
    """What was published stays, and once there is room all is caught up.

    A limit on the size of files gives a real failure of a write, in any container.
    """
    make_large(settings)
    before = state_of(settings.home)
    full = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))"
    )
    message = told(refresh(settings, first=full))
    assert message.startswith(str(settings.home.published))
    assert "cannot be written or read (" in message
    assert "free some space on that disk and repeat; nothing published was lost" in message
    assert state_of(settings.home) == before
    assert refresh(settings).returncode == 0
    assert Published(settings.home).manifest.rows("recent_executions") == 20_006


def make_large(settings: Settings) -> None:
    """Give the source 20 000 rows more, whose texts do not compress."""
    change_source(
        settings.source,
        """
        INSERT INTO executions (task_id, timestamp, success, duration_seconds, error_message)
        SELECT
            n, $start + n * INTERVAL 100 MILLISECOND, false, n,
            (SELECT string_agg(hash(n * 10 + i), '') FROM range(10) AS r (i))
        FROM range(20000) AS s (n)
        """,
        start=AT,
    )


@pytest.mark.parametrize(
    ("as_of", "words"),
    [
        ("2999-01-01T00:00:00Z", "as-of 2999-01-01T00:00:00Z lies in the future (it is 20"),
        ("the day before", "'the day before' is not an instant: write it in ISO 8601, for inst"),
        ("", "'' is not an instant: write it in ISO 8601, for instance 2026-02-10T03:40:00Z"),
        ("2026-02-10T11:59:59Z", "as-of 2026-02-10T11:59:59Z lies before 2026-02-10T12:00:00Z,"),
    ],
)
def test_an_as_of_that_cannot_be(settings: Settings, as_of: str, words: str) -> None:
    """Each with the remedy."""
    before = state_of(settings.home)
    assert told(refresh(settings, as_of=as_of)).startswith(words)
    assert state_of(settings.home) == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "rules.yaml cannot be read ("),
        ("keep: [1\n", "rules.yaml is not YAML ("),
        (
            "keep:\n  genrations: 3\n",
            "rules.yaml, line 2, keep.genrations: Object contains unknown field",
        ),
        ("\nkeep:\n  generations: lots\n", "rules.yaml, line 3, keep.generations: Expected `int`"),
        ("redaction:\n  patterns:\n    bad: '('\n", "redaction.patterns.bad is not a valid expr"),
    ],
)
def test_rules_that_cannot_be_read(settings: Settings, text: str | None, words: str) -> None:
    """The file, the line and the key are named, before anything is touched."""
    rules = settings.home.path.with_name("rules.yaml")
    if text is not None:
        rules.write_text(text)
    before = state_of(settings.home)
    assert words in told(refresh(settings, DBMON_CONFIG=rules))
    assert state_of(settings.home) == before


@pytest.mark.parametrize(
    ("arguments", "words", "command"),
    [
        (["refresh", "--fulll"], "No such option: --fulll", "dbmon refresh"),
        (["refrsh"], "No such command 'refrsh'", "dbmon"),
        (["refresh", "today"], "Got unexpected extra argument", "dbmon refresh"),
        (["refresh", "--as-of"], "Option '--as-of' requires an argument", "dbmon"),
    ],
)
def test_a_command_that_there_is_not(arguments: list[str], words: str, command: str) -> None:
    """A wrong word is an answer of 3, as monitoring plugins have it, and never of 1 or 2."""
    message = told(dbmon_here(*arguments))
    assert message.startswith(words)
    assert message.endswith(f": see '{command} --help'")


def test_no_command_at_all() -> None:
    """Help is not an answer either."""
    ended = run_dbmon()
    assert ended.returncode == 3
    assert "refresh" in ended.stdout + ended.stderr
    assert "dbmon: unexpected" not in ended.stderr


def test_a_damaged_manifest(settings: Settings) -> None:
    """It is named, and so is the way out."""
    manifest = settings.home.current.resolve() / "manifest.json"
    manifest.write_text("{")
    message = told(refresh(settings))
    assert message.startswith(f"{manifest} cannot be understood (")
    assert "remove that generation and run dbmon refresh" in message


def test_two_at_once(settings: Settings) -> None:
    """The second one waits for the first one and then does its work."""
    command = dbmon_command(
        *("refresh", "--source", settings.source, "--home", settings.home.path, "--as-of", LATER)
    )
    both = [
        subprocess.Popen(command, env=clean_environ(), stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ended = [(process.communicate(timeout=120)[1], process.returncode) for process in both]
    assert [code for _, code in ended] == [0, 0], ended
    assert Published(settings.home).manifest.generation == 3
    assert len(published_rows(settings, "recent_executions")) == 6


HOLD_HOME = """
import pathlib
from dbmon_pipeline.core.home.locks import home_lock
from dbmon_pipeline.core.config.settings import Home
with home_lock(Home(pathlib.Path(sys.argv[1])), "run 12345678", wait_seconds=0):
    wait()
"""


def test_two_at_once_with_a_short_wait(settings: Settings) -> None:
    """The second one ends and says who is at work."""
    rules = config(settings.home.path.with_name("rules.yaml"), "home: {lock_wait_seconds: 0.5}\n")
    before = state_of(settings.home)
    with running(HOLD_HOME, settings.home.path):
        message = told(refresh(settings, DBMON_CONFIG=rules))
    assert re.fullmatch(
        rf"{re.escape(str(settings.home.path))} is in use by run 12345678 \(process \d+,"
        r" since 20\S+Z\): wait until it has ended, or raise home\.lock_wait_seconds",
        message,
    )
    assert state_of(settings.home) == before


def test_missing_optional_columns_are_told(settings: Settings) -> None:
    """By a warning; the refresh goes on."""
    settings.source.unlink()
    make_odd_source(settings.source, [execution(AT)], user_rating=None, swarm_topology=None)
    ended = refresh(settings)
    assert (ended.returncode, ended.stdout) == (0, "")
    (line,) = [line for line in ended.stderr.splitlines() if "lacks optional columns" in line]
    assert line.startswith(f"warning: {settings.source}")
    assert line.endswith("swarm_topology, user_rating")


class Watcher(threading.Thread):
    """A reader that reads all along and keeps what it found wrong."""

    def __init__(self, home: Home) -> None:
        """Watch a home; nothing is read yet."""
        super().__init__()
        self.reads = 0
        self.generations: list[int] = []
        self.wrong: list[str] = []
        self.stop = threading.Event()
        self._home = home

    def run(self) -> None:
        """Read whole generations until told to stop."""
        while not self.stop.is_set():
            try:
                self._read()
            except Exception as error:  # a reader must never see one
                self.wrong.append(repr(error))
            time.sleep(0.02)

    def _read(self) -> None:
        published = Published(self._home)
        manifest = published.manifest
        self.generations.append(manifest.generation)
        for table in ("hourly_summary", "recent_executions"):
            rows = len(published.rows(table).rows)
            if rows != manifest.rows(table):
                self.wrong.append(f"{table}: {rows} rows, not {manifest.rows(table)}")
        self.reads += 1


@pytest.mark.parametrize("rounds", [1, pytest.param(5, marks=pytest.mark.whole)])
def test_kill_at_any_moment(tmp_path: Path, rounds: int) -> None:
    """The next refresh makes up for it, and no reader ever sees a half of anything."""
    settings = settings_for(tmp_path)
    make_sample(
        settings.source,
        rows=20_000,
        days=20,
        end=AS_OF,
        seed=7,
        scenario=Scenario.HEALTHY,
        embeddings=False,
    )
    refresh_core(settings, AS_OF - timedelta(days=12))
    command = dbmon_command(
        *("refresh", "--source", settings.source, "--home", settings.home.path, "--as-of", LATER)
    )
    watcher = Watcher(settings.home)
    watcher.start()
    chance = random.Random(3)  # noqa: S311 - moments, not secrets
    killed = 0
    try:
        for span in ((1.0, 2.0), (2.0, 3.0), (2.5, 4.0)) * rounds:
            process = subprocess.Popen(command, env=clean_environ(), stderr=subprocess.DEVNULL)
            try:
                process.wait(timeout=chance.uniform(*span))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                killed += 1
        ended = refresh(settings)
    finally:
        watcher.stop.set()
        watcher.join()
    assert killed >= 2
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
    assert watcher.wrong == []
    assert watcher.reads > 20
    assert watcher.generations == sorted(watcher.generations)
    fresh = Settings(settings.source, Home(tmp_path / "fresh"), settings.config)
    assert refresh(fresh).returncode == 0
    for table in ROLLED_UP:
        assert published_rows(settings, table.name) == published_rows(fresh, table.name)
    leftovers = list(settings.home.generations.glob(".draft*"))
    assert leftovers == []
    with dg.DagsterInstance.from_config(str(settings.home.dagster)) as instance:
        statuses = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING]
        assert instance.get_runs(dg.RunsFilter(statuses=statuses)) == []
