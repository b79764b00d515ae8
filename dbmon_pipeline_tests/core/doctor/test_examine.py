"""``dbmon doctor`` without Dagster: every fault is found, nothing changed, nobody hindered."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import duckdb
import msgspec
import pytest

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.config.rule import Severity
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.doctor import check_home as doctor_home
from dbmon_pipeline.core.doctor import check_source
from dbmon_pipeline.core.doctor.examine import check_versions, examine, load_settings
from dbmon_pipeline.core.doctor.finding import Finding, Level, ok, run_check
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline.core.schema.catalogue import TABLES
from dbmon_pipeline.core.source.health import inspect_source
from dbmon_pipeline_tests.core.home.test_locks import HOLD_HOME
from dbmon_pipeline_tests.core.incidents.rounds import EVERYBODY, START, finding
from dbmon_pipeline_tests.helpers import (
    HOLD_DATABASE,
    add_rows,
    execution,
    make_odd_source,
    make_source,
    published_rows,
    refresh_core,
    running,
    settings_for,
)

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
        *("versions", "source", "source schema", "source of home", "home", "home lock"),
        *("disk", "published", "ledger", "generations", "incident store", "notifications"),
    }
    size = settings.source.stat().st_size / 1e6
    assert findings["source"].seen == (
        f"{settings.source} has {size:,.1f} MB; nobody holds it open for writing;"
        " it is read live, without a lock"
    )
    assert findings["source schema"].seen.endswith("which is all; 3 rows are monitored")
    told = f"generation 2 has {len(TABLES)} tables in {len(files)} files"
    assert told in findings["published"].seen
    assert "through 2026-02-10T12:00:00Z" in findings["published"].seen
    assert findings["generations"].seen == "older generations, all whole: 1"
    days = "the totals of all tables equal those of the hour ledger on each of 3 days"
    assert findings["ledger"].seen == days
    last = published_rows(settings, "refresh_history")[-1]
    assert findings["source of home"].seen == (
        "for the last refresh it was read live, without a lock:"
        f" {last['readings']} readings, 0 of them thrown away,"
        f" {float(str(last['bytes_read'])) / 1e6:,.1f} MB read"
    )


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
    """The owner is named, and its schema is read all the same; no lock is taken."""
    settings = settings_for(tmp_path)
    make_source(settings.source, [execution(NOON)])
    with running(TELL + HOLD_DATABASE, settings.source, tmp_path / "pid"):
        owner = f"(process {(tmp_path / 'pid').read_text()}) holds it open for writing"
        refresh_core(settings, NOON + DAY)
        before = tree(settings.home.path)
        findings = look(settings)
        assert tree(settings.home.path) == before
    assert bad(findings) == {}
    assert f"{owner}, which is normal; it is read live" in findings["source"].seen
    assert "python" in findings["source"].seen
    assert findings["source schema"].seen.startswith("executions has 23 of the columns")


def test_a_log_that_a_writer_has_left(settings: Settings, tmp_path: Path) -> None:
    """It is told, and read: its rows count."""
    source = tmp_path / "learning.db"
    shutil.copy(settings.source, source)
    code = (
        "import duckdb, os\ncon = duckdb.connect(sys.argv[1])\n"
        "con.execute('PRAGMA disable_checkpoint_on_shutdown')\n"
        "con.execute('INSERT INTO executions BY NAME SELECT * REPLACE (uuid() AS task_id)"
        " FROM executions LIMIT 1')\nwait()\nos._exit(1)"
    )
    with running(code, source):
        pass
    findings = look(replace(settings, source=source))
    left = "a log of 0.0 MB; nobody holds it open for writing; its last writer left the log"
    assert left in findings["source"].seen
    assert "4 rows are monitored" in findings["source schema"].seen


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"timestamp": None}, "1 have no timestamp"),
        ({"timestamp": datetime(2999, 1, 1)}, "1 lie in the future"),
    ],
)
def test_rows_that_are_not_monitored(tmp_path: Path, values: dict[str, object], said: str) -> None:
    """They are no health: it warns of them."""
    settings = settings_for(tmp_path)
    make_source(settings.source, [execution(NOON), execution(NOON) | values])
    told = look(settings)["source schema"]
    assert told.level is Level.WARNING
    assert f"1 rows are monitored; not monitored: {said}" in told.seen


def test_a_source_on_a_network_file_system(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has to be attached, which its owner may notice: that is told."""
    monkeypatch.setattr(check_source, "is_local", lambda _: False)
    told = look(settings)["source"]
    assert told.level is Level.OK
    assert "attached for each reading, since it lies on a network file system" in told.seen
    assert told.seen.endswith("its owner may have to wait")


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
        assert inspect_source(source).writer == f"{name} (process {process})"


def test_a_home_of_another_source(settings: Settings) -> None:
    """Their rows would mix."""
    other = replace(settings, source=settings.source.with_name("other.db"))
    told = look(other)["source of home"]
    assert told.level is Level.WARNING
    assert f"was filled from {settings.source}, not from {other.source}" in told.seen


def test_a_home_in_use(settings: Settings) -> None:
    """It is told by whom and is fine, as is a draft."""
    draft = settings.home.generations / ".draft-1"
    draft.mkdir()
    with running(HOLD_HOME, settings.home.path):
        findings = look(settings)
        os.utime(settings.home.lock, (time.time() - 8 * 3600,) * 2)
        late = look(settings)["home lock"]
    assert bad(findings) == {}
    assert findings["home lock"].seen.startswith("in use by a test (process ")
    assert findings["generations"].seen.endswith("the next is being written")
    assert late.level is Level.WARNING
    assert "for 8 hours" in late.seen
    assert look(settings)["generations"].level is Level.WARNING


@pytest.mark.parametrize("leftover", ["warehouse.duckdb", "snapshots"])
def test_what_version_0_1_has_left(settings: Settings, leftover: str) -> None:
    """Nothing reads it any more, so it is told to be removed; a refresh leaves it alone."""
    assert "leftovers" not in look(settings)
    path = settings.home.path / leftover
    if leftover == "snapshots":
        path.mkdir()
    (path / "learning.db" if path.is_dir() else path).write_bytes(b"x" * 1_500_000)
    told = look(settings)["leftovers"]
    assert (told.level, told.seen) == (
        Level.WARNING,
        f"{path} of version 0.1 still there, with 1.5 MB",
    )
    assert told.remedy.startswith("remove it")


def test_room_on_the_disk(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """There must be some for a generation all of whose files are new."""
    files = settings.home.current.resolve().glob("*/*.parquet")
    needed = sum(file.stat().st_size for file in files)

    def with_free(free: float) -> Finding:
        usage = SimpleNamespace(free=int(free))
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        return disk(settings)

    assert with_free(49e6).level is Level.PROBLEM
    monkeypatch.setattr(doctor_home, "_LEAST_ROOM", 0)
    assert with_free(needed).level is Level.OK
    told = with_free(needed - 1)
    assert told.level is Level.WARNING
    assert f"a generation takes at most {needed / 1e6:,.1f} MB" in told.seen


def disk(settings: Settings) -> Finding:
    """What the check of the disk alone finds."""
    [one] = run_check("disk", lambda: doctor_home.disk(settings))
    return one


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
    refused = settings.home.published
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
    _tell_of(folder, file)


def _tell_of(folder: Path, file: Path) -> None:
    """Let the manifest state the size of a file as it is now."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_bytes())
    for entry in manifest["tables"][file.parent.name]:
        if entry["name"] == file.name:
            entry["bytes"] = file.stat().st_size
    path.chmod(0o644)
    path.write_text(json.dumps(manifest))


def _unreadable(folder: Path) -> None:
    path = folder / "manifest.json"
    path.chmod(0o644)
    path.write_text("{")


def _rotten(folder: Path) -> None:
    """A file of its size, with its first and last bytes, whose footer is another one."""
    file = _table(folder)
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[:4] + b"\xff" * (len(content) - 8) + content[-4:])


def _damage(folder: Path) -> None:
    file = _table(folder)
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[: len(content) // 2])


FAULTS: list[tuple[Change, str, str]] = [
    (lambda folder: _table(folder).unlink(), "is not there", "run dbmon refresh, which makes"),
    (_damage, "is damaged", "run dbmon refresh, which makes their days again"),
    (_another_count, "has 77 rows, not 1", "remove "),
    (_rotten, "cannot be read", "remove "),
    (_unreadable, "cannot be understood", "remove that generation and run dbmon refresh"),
]


@pytest.mark.parametrize(("damage", "seen", "remedy"), FAULTS)
def test_a_generation_with_a_fault(
    settings: Settings, damage: Change, seen: str, remedy: str
) -> None:
    """In the published one it is a problem, in an older one readers have left it is a warning."""
    damage(settings.home.current.resolve().with_name("000001"))
    findings = look(settings)
    assert bad(findings) == {"generations": Level.WARNING}
    assert seen in findings["generations"].seen
    damage(settings.home.current.resolve())
    findings = look(settings)
    assert findings["published"].level is Level.PROBLEM
    assert seen in findings["published"].seen
    assert findings["published"].remedy.startswith(remedy)


@pytest.mark.parametrize("damage", [lambda folder: _table(folder).unlink(), _damage, _rotten])
def test_the_remedy_for_a_generation_heals(settings: Settings, damage: Change) -> None:
    """What is to be removed is removed, and a refresh makes the days again."""
    before = published_rows(settings, "tier_performance")
    damage(settings.home.current.resolve())
    remedy = look(settings)["published"].remedy
    for path in re.findall(r"(/\S+\.parquet)", remedy):
        Path(path).unlink()
    assert bool(re.match("remove ", remedy)) is (damage is _rotten)
    refresh_core(settings, NOON)
    assert bad(look(settings)).keys() <= {"generations"}
    assert published_rows(settings, "tier_performance") == before


def test_values_that_cannot_be_read(tmp_path: Path) -> None:
    """They are named with the task that they stand in."""
    settings = settings_for(tmp_path)
    make_odd_source(settings.source, [], duration_seconds="VARCHAR")
    rows = [execution(NOON - DAY, task_id="t1", duration_seconds="soon\x1b[31m")]
    add_rows(settings.source, [*rows, *(execution(NOON - n * DAY) for n in range(2, 5))])
    refresh_core(settings, NOON)
    told = look(settings)["bad values"]
    assert told.level is Level.WARNING
    assert told.seen.startswith("values of the source that cannot be read: 'soon")
    assert told.seen.endswith("in duration_seconds of task t1")


def test_a_link_that_leads_nowhere(settings: Settings) -> None:
    """A refresh publishes anew."""
    shown = settings.home.current.resolve()
    shutil.rmtree(shown)
    told = look(settings)["published"]
    assert told.level is Level.PROBLEM
    assert f"points to {shown}, which is not there" in told.seen
    assert told.remedy == "run dbmon refresh, which publishes anew"
    refresh_core(settings, NOON)
    assert bad(look(settings)) == {}


def _rewrite(table: str, change: str) -> Change:
    """Rewrite the last file of a table with other values, in its size and with its rows."""

    def rewrite(folder: Path) -> None:
        file = max((folder / table).iterdir())
        with closing(duckdb.connect()) as con:
            con.execute(f"CREATE TABLE t AS FROM '{file}'")
            con.execute(f"UPDATE t SET {change}")
            file.unlink()
            con.execute(f"COPY t TO '{file}'")
        _tell_of(folder, file)

    return rewrite


@pytest.mark.parametrize(
    ("table", "change", "said"),
    [
        (
            "hourly_summary",
            "executions = 2",
            "executions of hourly_summary is 2 on 2026-02-09",
        ),
        ("daily_summary", "duration_sum = 13", "duration_sum of daily_summary is 13.0 on "),
        ("tier_performance", "successful_count = 0", "successes of tier_performance is 0 on "),
        (
            "hourly_distribution",
            "n = 5",
            "duration_count of hourly_distribution is 5 on ",
        ),
        ("hour_ledger", "errors = 9", "errors of hourly_summary is 0 on 2026-02-09, not 9"),
        ("hour_ledger", "executions = 3", "executions of hourly_summary is 1 on 2026-02-09, not 3"),
    ],
)
def test_a_table_that_differs_from_the_ledger(
    settings: Settings, table: str, change: str, said: str
) -> None:
    """The day and the figure are named, whatever wrote them."""
    _rewrite(table, change)(settings.home.current.resolve())
    told = look(settings)["ledger"]
    assert told.level is Level.PROBLEM
    assert said in told.seen
    assert told.remedy.startswith("run dbmon refresh --since 2026-02-")


def test_a_count_that_differs_from_the_ledger(settings: Settings) -> None:
    """The manifest's, which every face shows."""
    path = settings.home.current.resolve() / "manifest.json"
    manifest = json.loads(path.read_bytes())
    path.chmod(0o644)
    path.write_text(json.dumps(manifest | {"executions": 4}))
    told = look(settings)["ledger"]
    assert told.level is Level.PROBLEM
    assert told.seen == "the manifest counts 4 executions, the hour ledger 3"


def test_what_a_cut_off_publication_leaves(settings: Settings) -> None:
    """It is named, and goes with the next refresh."""
    draft = settings.home.generations / ".draft-4711"
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


def test_what_is_not_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named with what is needed."""
    assert check_versions().level is Level.OK
    assert f"duckdb {duckdb.__version__}" in check_versions().seen
    monkeypatch.setattr(duckdb, "__version__", "1.4.4")
    assert check_versions().level is Level.PROBLEM
    assert "duckdb 1.4.4 is not <3,>=" in check_versions().seen
    needs = ["no-such-thing[extra]>=3,<4", 'for-others>=1; extra == "other"']
    monkeypatch.setattr("importlib.metadata.requires", lambda _: needs)
    assert check_versions().seen.endswith(
        "not supported: no-such-thing is not installed, but <4,>=3 is needed"
    )


def test_rules_that_are_wrong(tmp_path: Path) -> None:
    """They are told, and all else is looked at with the shipped ones."""
    rules = tmp_path / "rules.yaml"
    rules.write_text("keep:\n  generations: none\n")
    settings, [told] = load_settings(
        tmp_path / "a.db", tmp_path / "home", {"DBMON_CONFIG": str(rules)}
    )
    assert (told.name, told.level) == ("configuration", Level.PROBLEM)
    assert "rules.yaml, line 2, keep.generations" in told.seen
    assert settings.config.keep.generations == 3
    assert settings.home.path == tmp_path / "home"
    rules.write_text("keep:\n  generations: 7\n")
    settings, [told] = load_settings(None, None, {"DBMON_CONFIG": str(rules)})
    assert (told.level, settings.config.keep.generations) == (Level.OK, 7)


def test_a_check_that_fails_has_found_something() -> None:
    """On one line, whatever it says."""

    def broken() -> None:
        raise ZeroDivisionError("a\nb\x1b[31m" + "c" * 9999)

    [told] = run_check("it", broken)
    assert told.level is Level.PROBLEM
    assert told.seen.startswith("the check itself failed (ZeroDivisionError a b [31mccc")
    assert told.seen.isprintable()
    assert len(told.seen) <= 600

    def unreadable() -> None:
        Path("/nowhere/at/all").stat()

    [told] = run_check("it", unreadable)
    assert told.seen == "/nowhere/at/all cannot be read (No such file or directory)"
    assert run_check("it", lambda: None) == []
    assert run_check("it", lambda: ok("fine")) == [Finding("it", Level.OK, "fine", "")]
