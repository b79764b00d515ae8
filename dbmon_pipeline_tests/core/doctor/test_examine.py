"""``dbmon doctor`` without Dagster: every fault is found, nothing changed, nobody hindered."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import duckdb
import msgspec
import pytest
from packaging.specifiers import SpecifierSet

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.common.errors import HomeBusyError
from dbmon_pipeline.core.config.monitoring import SourceLimits
from dbmon_pipeline.core.config.rule import Severity
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.doctor import check_home as doctor_home
from dbmon_pipeline.core.doctor import examine as doctor
from dbmon_pipeline.core.doctor.examine import configured, examine, versions
from dbmon_pipeline.core.doctor.finding import Finding, Level, found, ok
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.home.locks import home_lock
from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline.core.source.health import look_at
from dbmon_pipeline.core.warehouse.warehouse import Stage, Warehouse
from dbmon_pipeline_tests.core.home.test_locks import HOLD_HOME
from dbmon_pipeline_tests.core.incidents.rounds import EVERYBODY, START, finding
from dbmon_pipeline_tests.helpers import (
    HOLD_DATABASE,
    execution,
    make_odd_source,
    make_source,
    refresh_core,
    running,
    settings_for,
)

pytestmark = pytest.mark.one_duckdb

NOON = datetime.fromisoformat("2026-02-10T12:00")
DAY = timedelta(days=1)
TELL = "import os\nopen(sys.argv[2], 'w').write(str(os.getpid()))\n"
Change = Callable[[Path], object]


def look(settings: Settings) -> dict[str, Finding]:
    """All findings by name."""
    findings = [*examine(settings)]
    assert len({one.name for one in findings}) == len(findings)
    for one in findings:
        assert one.seen.isprintable()
        assert bool(one.remedy) is (one.level is not Level.OK), one
    return {one.name: one for one in findings}


def bad(findings: dict[str, Finding]) -> dict[str, Level]:
    """The names of what is not well, and how bad it is."""
    return {name: one.level for name, one in findings.items() if one.level is not Level.OK}


def tree(folder: Path) -> dict[str, object]:
    """Everything below a folder: names, contents, times."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mtime_ns,
            path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A source and a home with two generations, which no test changes."""
    settings = settings_for(tmp_path_factory.mktemp("doctor"))
    make_source(settings.source, [execution(NOON - number * DAY) for number in range(1, 4)])
    refresh_core(settings, NOON - DAY)
    refresh_core(settings, NOON)
    return settings


@pytest.fixture
def settings(refreshed: Settings, tmp_path: Path) -> Settings:
    """The same source with a home of the test's own."""
    home = Home(tmp_path / "home")
    shutil.copytree(refreshed.home.path, home.path, symlinks=True)
    return replace(refreshed, home=home)


def test_all_is_well(settings: Settings) -> None:
    """What is seen are the real figures; nothing is changed; what a kill has left is read."""
    files = [*settings.home.current.resolve().glob("*/*.parquet")]
    with Incidents(settings.home.incidents, notifications=EVERYBODY):
        pass
    before = tree(settings.home.path), tree(settings.source.parent)
    findings = look(settings)
    assert (tree(settings.home.path), tree(settings.source.parent)) == before
    assert bad(findings) == {}
    assert {*findings} == {
        *("versions", "source", "source schema", "source of home", "home"),
        *("warehouse", "disk", "published", "generations", "incident store", "notifications"),
    }
    size = settings.source.stat().st_size / 1e6
    assert findings["source"].seen == (
        f"{settings.source} has {size:,.1f} MB; nobody holds it open for writing,"
        " so a refresh reads it directly"
    )
    assert "3 raw rows, layout 1; nothing is left to do" in findings["warehouse"].seen
    assert f"generation 2 has 15 tables in {len(files)} files" in findings["published"].seen
    assert "through 2026-02-10T12:00:00Z" in findings["published"].seen
    assert findings["generations"].seen == "older generations, all whole: 1"
    assert findings["source of home"].seen == "the last refresh read the file itself"


def test_where_there_is_nothing(tmp_path: Path) -> None:
    """It says where to begin, and makes nothing."""
    findings = look(settings_for(tmp_path))
    assert bad(findings) == {
        "source": Level.PROBLEM,
        "home": Level.WARNING,
        "published": Level.WARNING,
    }
    assert findings["home"].remedy == "run dbmon refresh, which makes it"
    assert [*tmp_path.iterdir()] == []


def _sqlite(path: Path) -> None:
    with closing(sqlite3.connect(path)) as con:
        con.execute("CREATE TABLE t (a)")
        con.commit()


def _cut(path: Path) -> None:
    make_source(path, [execution(NOON)])
    path.write_bytes(path.read_bytes()[:9000])


def _without_success(path: Path) -> None:
    make_odd_source(path, [], success=None)


def _without_table(path: Path) -> None:
    with connect(path) as con:
        con.execute("CREATE TABLE other (a INTEGER)")


@pytest.mark.parametrize(
    ("make", "name", "seen"),
    [
        (Path.mkdir, "source", "is a folder"),
        (Path.touch, "source", "is an empty file"),
        (os.mkfifo, "source", "is a named pipe"),
        (_sqlite, "source", "is a SQLite database"),
        (lambda path: path.write_text("hello " * 99), "source", "is not a DuckDB database"),
        (_cut, "source schema", "is damaged or cut short"),
        (_without_table, "source schema", "has no table 'executions'"),
        (_without_success, "source schema", "executions has no column 'success'"),
    ],
)
def test_a_source_that_cannot_be_read(tmp_path: Path, make: Change, name: str, seen: str) -> None:
    """It is told once, in the words of the core."""
    settings = settings_for(tmp_path)
    make(settings.source)
    findings = look(settings)
    assert [one for one in bad(findings) if one.startswith("source")] == [name]
    assert findings[name].level is Level.PROBLEM
    assert seen in findings[name].seen


def test_optional_columns_that_are_missing(tmp_path: Path) -> None:
    """They are named, and are no fault."""
    settings = settings_for(tmp_path)
    make_odd_source(settings.source, [], user_rating=None)
    schema = look(settings)["source schema"]
    assert schema.level is Level.OK
    assert "the optional user_rating are not there" in schema.seen


def test_a_source_that_its_owner_keeps_open(tmp_path: Path) -> None:
    """The owner is named; the schema is looked at in the copy, once there is one."""
    settings = settings_for(tmp_path, source=SourceLimits(lock_wait_seconds=0))
    make_source(settings.source, [execution(NOON)])
    with running(TELL + HOLD_DATABASE, settings.source, tmp_path / "pid"):
        owner = f"(process {(tmp_path / 'pid').read_text()}) holds it open for writing"
        first = look(settings)
        refresh_core(settings, NOON)
        before = tree(settings.home.path)
        then = look(settings)
        assert tree(settings.home.path) == before
        never = msgspec.structs.replace(settings.config, source=SourceLimits(snapshot=False))
        without = look(replace(settings, config=never))
    assert first["source"].level is Level.OK
    assert f"{owner}, so a refresh reads a guarded copy" in first["source"].seen
    assert "python" in first["source"].seen
    assert first["source schema"].level is Level.WARNING
    assert first["source schema"].remedy == "run dbmon refresh, which takes one"
    assert bad(then) == {}
    assert then["source schema"].seen.startswith("the copy of the source has executions with 23")
    assert then["source of home"].seen == "the last refresh read a guarded copy"
    assert without["source"].level is Level.WARNING
    assert "source.snapshot is off" in without["source"].seen


def test_an_owner_that_is_another_user_s(
    refreshed: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system does not say which program it runs, but what it is called."""
    source = tmp_path / "learning.db"
    shutil.copy(refreshed.source, source)
    monkeypatch.setattr(Path, "readlink", Mock(side_effect=PermissionError))
    with running(TELL + HOLD_DATABASE, source, tmp_path / "pid"):
        process = (tmp_path / "pid").read_text()
        name = Path(f"/proc/{process}/comm").read_text().strip()
        assert look_at(source).writer == f"{name} (process {process})"


def test_a_home_of_another_source(settings: Settings) -> None:
    """Their rows would mix."""
    other = replace(settings, source=settings.source.with_name("other.db"))
    told = look(other)["source of home"]
    assert told.level is Level.WARNING
    assert f"was filled from {settings.source}, not from {other.source}" in told.seen


def test_a_home_in_use(settings: Settings) -> None:
    """It is told by whom and is fine; the warehouse is left alone, as is a draft."""
    draft = settings.home.published / "generations" / ".draft-1"
    draft.mkdir()
    hold = HOLD_HOME.replace(
        "    wait()",
        "    import duckdb\n    con = duckdb.connect(sys.argv[2])\n    wait()",
    )
    with running(hold, settings.home.path, settings.home.warehouse):
        findings = look(settings)
        os.utime(settings.home.lock, (time.time() - 8 * 3600,) * 2)
        late = look(settings)["home lock"]
    assert bad(findings) == {}
    assert findings["home lock"].seen.startswith("in use by a test (process ")
    assert findings["warehouse"].seen == "not looked into, because somebody works in the home"
    assert findings["generations"].seen.endswith("the next is being written")
    assert late.level is Level.WARNING
    assert "for 8 hours" in late.seen
    assert look(settings)["generations"].level is Level.WARNING


def test_no_refresh_begins_while_the_warehouse_is_open(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would find the file locked, and fail."""
    with home_lock(settings.home, "before", wait_seconds=0):
        pass
    tried = []
    attached = doctor_home._attached

    @contextmanager
    def trying(con: duckdb.DuckDBPyConnection, path: Path) -> Iterator[None]:
        with attached(con, path):
            with (
                pytest.raises(HomeBusyError),
                home_lock(settings.home, "a refresh", wait_seconds=0),
            ):
                raise AssertionError("a refresh has begun")
            tried.append(True)
            yield

    monkeypatch.setattr(doctor_home, "_attached", trying)
    assert look(settings)["warehouse"].level is Level.OK
    assert tried
    with home_lock(settings.home, "after", wait_seconds=0):
        pass


def test_refreshes_go_on_beside_it(settings: Settings) -> None:
    """A process that works in the home again and again never fails."""
    code = """
import pathlib, sys, time
from dbmon_pipeline.core.home.locks import home_lock
from dbmon_pipeline.core.config.settings import Home
from dbmon_pipeline.core.warehouse.warehouse import Warehouse
home = Home(pathlib.Path(sys.argv[1]))
for _ in range(12):
    with home_lock(home, "a refresh", wait_seconds=30), Warehouse(home.warehouse) as warehouse:
        with warehouse.transaction() as con:
            con.execute("INSERT INTO state VALUES ('x', 'y')")
        time.sleep(0.03)
    time.sleep(0.03)
"""
    refresh = subprocess.Popen([sys.executable, "-c", code, str(settings.home.path)])
    seen = set()
    while refresh.poll() is None:
        [one] = found("warehouse", lambda: doctor_home.warehouse(settings))
        assert one.level is Level.OK, one
        seen.add(one.seen.startswith("not looked into"))
        time.sleep(random.uniform(0.01, 0.1))  # noqa: S311 - jitter, not cryptography
    assert refresh.returncode == 0
    assert seen == {True, False}


def _leave_days(path: Path) -> None:
    with Warehouse(path) as warehouse, warehouse.transaction():
        days = [date(2026, 2, 9), date(2026, 2, 10)]
        warehouse.add_pending(["daily_summary", "error_summary"], days, Stage.ROLL_UP)


def _set_layout(path: Path, version: int) -> None:
    with connect(path) as con:
        con.execute("UPDATE state SET value = $v WHERE name = 'layout_version'", {"v": version})


def _replace_by_another(path: Path) -> None:
    path.unlink()
    make_source(path)


@pytest.mark.parametrize(
    ("change", "level", "seen", "remedy"),
    [
        (_leave_days, Level.WARNING, "2 days are left of a refresh", "run dbmon refresh"),
        (lambda p: _set_layout(p, 99), Level.PROBLEM, "layout 99", "upgrade dbmon-pipeline"),
        (lambda p: _set_layout(p, 0), Level.WARNING, "layout 0", "run dbmon refresh"),
        (lambda p: os.truncate(p, 9000), Level.PROBLEM, "damaged or cut short", "restore it"),
        (lambda p: p.write_text("hello " * 99), Level.PROBLEM, "damaged", "restore it"),
        (_replace_by_another, Level.PROBLEM, "is no warehouse of dbmon", "move it away"),
        (Path.unlink, Level.WARNING, "does not exist", "run dbmon refresh"),
    ],
)
def test_a_warehouse(
    settings: Settings, change: Change, level: Level, seen: str, remedy: str
) -> None:
    """Each of its faults, with the remedy."""
    change(settings.home.warehouse)
    told = look(settings)["warehouse"]
    assert told.level is level
    assert seen in told.seen
    assert told.remedy.startswith(remedy)


def test_a_warehouse_that_another_program_has_open(settings: Settings) -> None:
    """A duckdb shell, for instance: no refresh can open it."""
    with running(HOLD_DATABASE, settings.home.warehouse):
        told = look(settings)["warehouse"]
    assert told.level is Level.PROBLEM
    assert f"another program has {settings.home.warehouse} open" in told.seen


def test_room_on_the_disk(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is needed is added up; a copy that is wanted now and has no room is a problem."""
    home = settings.home
    generation = sum(file.stat().st_size for file in home.current.resolve().glob("*/*.parquet"))
    copy = int(settings.source.stat().st_size * 1.1)
    needed = home.warehouse.stat().st_size + generation + copy

    def with_free(free: float) -> Finding:
        usage = SimpleNamespace(free=int(free))
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        return look(settings)["disk"]

    assert with_free(49e6).level is Level.PROBLEM
    monkeypatch.setattr(doctor_home, "_LEAST_ROOM", 0)
    assert with_free(needed).level is Level.OK
    assert with_free(needed - 1).level is Level.WARNING
    assert with_free(copy - 1).level is Level.WARNING
    with running(HOLD_DATABASE, settings.source):
        assert with_free(copy).level is Level.WARNING
        told = with_free(copy - 1)
    assert told.level is Level.PROBLEM
    assert f"a copy of the source {copy / 1e6:,.1f} MB" in told.seen


def test_a_home_that_may_not_be_written(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor a part of it, as when root refreshed once."""
    file = tmp_path / "file"
    file.touch()
    told = look(replace(settings, home=Home(file)))["home"]
    assert (told.level, told.seen) == (Level.PROBLEM, f"{file} is not a folder")
    refused = settings.home.path
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != refused)
    assert look(settings)["home"].seen.startswith(f"{refused} may not be written by user")
    refused = settings.home.warehouse
    told = look(settings)["home"]
    assert told.seen.startswith(f"{refused} may not be written by user")
    assert "chown" in told.remedy
    refused = tmp_path
    told = look(replace(settings, home=Home(tmp_path / "new" / "home")))["home"]
    assert told.level is Level.PROBLEM
    assert f"does not exist, and {tmp_path} may not be written" in told.seen


def _table(folder: Path) -> Path:
    return min((folder / "tier_performance").iterdir())


def _another_count(folder: Path) -> None:
    file = _table(folder)
    file.unlink()
    with closing(duckdb.connect()) as con:
        con.execute(f"COPY (SELECT * FROM range(77)) TO '{file}'")


def _damage(folder: Path) -> None:
    file = _table(folder)
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[: len(content) // 2])


FAULTS: list[tuple[Change, str]] = [
    (lambda folder: _table(folder).unlink(), "is not there"),
    (_another_count, "has 77 rows, not 1"),
    (_damage, "cannot be read"),
    (lambda folder: (folder / "manifest.json").write_text("{"), "cannot be understood"),
]


@pytest.mark.parametrize(("damage", "seen"), FAULTS)
def test_a_generation_with_a_fault(settings: Settings, damage: Change, seen: str) -> None:
    """In the published one it is a problem, in an older one readers have left it is a warning."""
    damage(settings.home.current.resolve().with_name("000001"))
    findings = look(settings)
    assert bad(findings) == {"generations": Level.WARNING}
    assert seen in findings["generations"].seen
    damage(settings.home.current.resolve())
    findings = look(settings)
    assert findings["published"].level is Level.PROBLEM
    assert seen in findings["published"].seen
    assert "run dbmon refresh" in findings["published"].remedy


def test_the_remedy_for_a_generation_heals(settings: Settings) -> None:
    """Removed and refreshed, all is well again."""
    shown = settings.home.current.resolve()
    _table(shown).unlink()
    assert f"remove {shown}, then run dbmon refresh" in look(settings)["published"].remedy
    shutil.rmtree(shown)
    told = look(settings)["published"]
    assert told.level is Level.PROBLEM
    assert f"points to {shown}, which is not there" in told.seen
    settings.home.current.unlink()
    refresh_core(settings, NOON)
    assert bad(look(settings)) == {}


def test_what_a_cut_off_publication_leaves(settings: Settings) -> None:
    """It is named, and goes with the next refresh."""
    draft = settings.home.published / "generations" / ".draft-4711"
    draft.mkdir()
    told = look(settings)["generations"]
    assert (told.level, told.seen) == (
        Level.WARNING,
        f"{draft} is left of a publication that was cut off",
    )
    refresh_core(settings, NOON)
    assert look(settings)["generations"].level is Level.OK


@pytest.fixture
def store(settings: Settings) -> Iterator[Incidents]:
    """The incident store of the home, open, with one incident that was told to one target."""
    notifications = msgspec.structs.replace(EVERYBODY, attempts=1)
    with Incidents(settings.home.incidents, notifications=notifications) as opened:
        opened.observe([finding(Severity.WARNING)], START)
        yield opened


def test_notifications_that_were_given_up(settings: Settings, store: Incidents) -> None:
    """They are counted by target, with the last error; also while others have the store open."""
    assert look(settings)["notifications"].seen == "none was given up; waiting: 1"
    assert look(settings)["incident store"].seen.endswith("is whole; open incidents: 1")
    [told] = store.due(START, lease=DAY)["team"]
    store.failed([told.number], START, "503 from\nthe server")
    expected = "notifications were given up: 1 to team (503 from the server)"
    for _ in range(2):
        before = sorted(path.name for path in settings.home.path.iterdir())
        findings = look(settings)
        assert sorted(path.name for path in settings.home.path.iterdir()) == before
        assert bad(findings) == {"notifications": Level.WARNING}
        assert findings["notifications"].seen == expected
        assert findings["notifications"].remedy.endswith("dbmon alerts test team")
        store.close()


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as con:
        con.execute("PRAGMA user_version = 99")


def _foreign(path: Path) -> None:
    path.unlink()
    _sqlite(path)


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (_overwrite, "damaged"),
        (lambda path: path.write_text("hello " * 999), "damaged"),
        (lambda path: path.write_bytes(b"S"), "incidents"),
        (_newer, "newer version of dbmon (layout 99"),
        (_foreign, "no file of incidents"),
    ],
)
def test_a_store_with_a_fault(
    settings: Settings, store: Incidents, change: Change, seen: str
) -> None:
    """It is told, and left as it is."""
    store.close()
    change(settings.home.incidents)
    before = tree(settings.home.path)
    told = look(settings)["incident store"]
    assert told.level is Level.PROBLEM
    assert seen in told.seen
    assert tree(settings.home.path) == before


def test_a_store_that_is_locked(settings: Settings, store: Incidents) -> None:
    """It is waited for a moment."""
    store.close()
    code = (
        "import sqlite3\ncon = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "con.execute('PRAGMA locking_mode = EXCLUSIVE')\ncon.execute('BEGIN EXCLUSIVE')\n"
        "con.execute('DELETE FROM facts')\nwait()"
    )
    with running(code, settings.home.incidents):
        started = time.monotonic()
        told = look(settings)["incident store"]
        assert time.monotonic() - started < 10
    assert told.level is Level.WARNING
    assert "is locked by another process" in told.seen


@pytest.mark.parametrize("version", ["1.5.4", "1.5.5", "1.10", "2.0.0", "2.9.9", "3", "3.0.1"])
@pytest.mark.parametrize("bounds", ["<3,>=1.5.5", ">=2", "<2", ">=1.5.5,<1.11"])
def test_versions_are_compared_as_pip_does(version: str, bounds: str) -> None:
    """Held against the library that pip has."""
    assert doctor._is_within(version, bounds) is SpecifierSet(bounds).contains(version)


def test_what_is_not_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named with what is needed."""
    assert versions().level is Level.OK
    assert f"duckdb {duckdb.__version__}" in versions().seen
    monkeypatch.setattr(duckdb, "__version__", "1.4.4")
    assert versions().level is Level.PROBLEM
    assert "duckdb 1.4.4 is not <3,>=1.5.5" in versions().seen
    needs = ["no-such-thing[extra]>=3,<4", 'for-others>=1; extra == "other"']
    monkeypatch.setattr("importlib.metadata.requires", lambda _: needs)
    assert versions().seen.endswith(
        "not supported: no-such-thing is not installed, but >=3,<4 is needed"
    )


def test_rules_that_are_wrong(tmp_path: Path) -> None:
    """They are told, and all else is looked at with the shipped ones."""
    rules = tmp_path / "rules.yaml"
    rules.write_text("keep:\n  generations: none\n")
    settings, [told] = configured(
        tmp_path / "a.db", tmp_path / "home", {"DBMON_CONFIG": str(rules)}
    )
    assert (told.name, told.level) == ("configuration", Level.PROBLEM)
    assert "rules.yaml, line 2, keep.generations" in told.seen
    assert settings.config.keep.generations == 3
    assert settings.home.path == tmp_path / "home"
    rules.write_text("keep:\n  generations: 7\n")
    settings, [told] = configured(None, None, {"DBMON_CONFIG": str(rules)})
    assert (told.level, settings.config.keep.generations) == (Level.OK, 7)


def test_a_check_that_fails_has_found_something() -> None:
    """On one line, whatever it says."""

    def broken() -> None:
        raise ZeroDivisionError("a\nb\x1b[31m" + "c" * 9999)

    [told] = found("it", broken)
    assert told.level is Level.PROBLEM
    assert told.seen.startswith("the check itself failed (ZeroDivisionError a b [31mccc")
    assert told.seen.isprintable()
    assert len(told.seen) <= 600

    def unreadable() -> None:
        Path("/nowhere/at/all").stat()

    [told] = found("it", unreadable)
    assert told.seen == "/nowhere/at/all cannot be read (No such file or directory)"
    assert found("it", lambda: None) == []
    assert found("it", lambda: ok("fine")) == [Finding("it", Level.OK, "fine", "")]
