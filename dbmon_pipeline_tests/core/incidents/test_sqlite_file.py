"""The file of incidents: refused if it is not whole, written by many, and through any end."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from dbmon_pipeline.core.common.errors import IncidentError
from dbmon_pipeline.core.config.notifications import Notifications
from dbmon_pipeline.core.incidents import sqlite_file as incident_file
from dbmon_pipeline.core.incidents.incident import IncidentState
from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline_tests.core.incidents.rounds import (
    EVERYBODY,
    FAR,
    HOUR,
    LEASE,
    MINUTE,
    START,
    C,
    W,
    finding,
    numbers,
    target,
)


def test_the_file_is_as_safe_as_it_can_be(store: Incidents) -> None:
    """Written ahead, and through to the disk."""
    assert store.path.read_bytes()[18:20] == b"\x02\x02"  # WAL, for whoever opens it
    assert store._con.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._con.execute("PRAGMA user_version").fetchone() == (1,)


def test_facts_are_remembered(store: Incidents) -> None:
    """Until there is a newer one."""
    assert store.remembered("cursor") is None
    store.remember("cursor", "1")
    store.remember("other", "")
    store.remember("cursor", "2")
    with Incidents(store.path, notifications=EVERYBODY) as again:
        assert again.remembered("cursor") == "2"
        assert again.remembered("other") == ""


@pytest.mark.parametrize(
    "garbage",
    [b"x", b"garbage", b"garbage" * 1000, b"SQLite format 3\0", b"SQLite format 3\0" + b"x" * 9000],
    ids=["a byte", "short", "long", "a head", "a head and more"],
)
def test_garbage_is_refused_and_stays(tmp_path: Path, garbage: bytes) -> None:
    """It may be all that is left of something."""
    path = tmp_path / "incidents.sqlite"
    path.write_bytes(garbage)
    with pytest.raises(IncidentError, match=r"is damaged, or no file .*: move it away") as raised:
        Incidents(path, notifications=EVERYBODY)
    assert str(path) in str(raised.value)
    assert path.read_bytes() == garbage
    assert [one.name for one in tmp_path.iterdir()] == ["incidents.sqlite"]


def test_an_empty_file_is_a_new_one(tmp_path: Path) -> None:
    """As after a touch."""
    (tmp_path / "incidents.sqlite").touch()
    with Incidents(tmp_path / "incidents.sqlite", notifications=EVERYBODY) as store:
        assert store.open_incidents() == []


@pytest.mark.parametrize("damage", ["cut short", "overwritten", "one value"])
def test_damage_inside_is_told_when_it_is_met(store: Incidents, damage: str) -> None:
    """In our words, and nothing is written over it."""
    store.observe([finding(W, f"rule_{n}") for n in range(200)], START)
    store.close()
    if damage == "one value":
        con = sqlite3.connect(store.path)
        con.execute("UPDATE incidents SET kept = '{]' WHERE number = 7")
        con.commit()
        con.close()
    else:
        whole = store.path.read_bytes()
        assert len(whole) > 100_000
        store.path.write_bytes(
            whole[:20_000] if damage == "cut short" else whole[:4096] + b"\xaa" * len(whole[4096:])
        )
    before = store.path.read_bytes()

    def use() -> None:
        with Incidents(store.path, notifications=EVERYBODY) as damaged:
            damaged.observe([finding(C, "rule_1")], START + MINUTE)

    with pytest.raises(IncidentError, match=r"is damaged, or no file .*: move it away"):
        use()
    assert store.path.read_bytes() == before


def test_a_newer_version_is_refused(store: Incidents) -> None:
    """It may hold what this one would lose."""
    con = sqlite3.connect(store.path)
    con.execute("PRAGMA user_version = 2")
    con.close()
    with pytest.raises(IncidentError, match=r"newer version of dbmon \(layout 2, .*: upgrade"):
        Incidents(store.path, notifications=EVERYBODY)


def test_the_file_of_another_program_is_refused(tmp_path: Path) -> None:
    """Untouched, even in its journal mode."""
    path = tmp_path / "incidents.sqlite"
    con = sqlite3.connect(path)
    con.execute("CREATE TABLE theirs (a)")
    con.close()
    before = path.read_bytes()
    with pytest.raises(IncidentError, match="a SQLite database of another program: move it away"):
        Incidents(path, notifications=EVERYBODY)
    assert path.read_bytes() == before


def test_a_file_that_stays_locked(store: Incidents, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is told as such, after the wait; readers are not kept out."""
    monkeypatch.setattr(incident_file, "BUSY_SECONDS", 0.3)
    store.observe([finding(W)], START)
    holder = sqlite3.connect(store.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    with Incidents(store.path, notifications=EVERYBODY) as other:
        with pytest.raises(IncidentError, match=r"is locked by another process .*: end the proc"):
            other.observe([finding(C)], START + MINUTE)
        assert time.monotonic() - started >= 0.3
        assert [one.severity for one in other.open_incidents()] == [W]
        holder.execute("ROLLBACK")
        holder.close()
        other.observe([finding(C)], START + MINUTE)
    assert [one.severity for one in store.open_incidents()] == [C]


def test_a_place_that_is_no_file(tmp_path: Path) -> None:
    """A folder there, or a file where its folder should be."""
    (tmp_path / "file").write_text("precious")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "file" / "incidents.sqlite"):
        with pytest.raises(IncidentError, match=r"cannot be written or read .*: check the disk"):
            Incidents(path, notifications=EVERYBODY)


def test_a_file_that_another_process_makes_just_now(tmp_path: Path) -> None:
    """SQLite waits for that with all but the change to write-ahead."""
    path = tmp_path / "incidents.sqlite"
    maker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    maker.execute("BEGIN IMMEDIATE")
    end = threading.Timer(0.3, maker.execute, ["ROLLBACK"])
    started = time.monotonic()
    end.start()
    with Incidents(path, notifications=EVERYBODY) as store:
        assert time.monotonic() - started >= 0.25
        assert len(store.observe([finding(W)], START)) == 1
    end.join()
    maker.close()


@contextmanager
def nobody() -> Iterator[Path]:
    """Be a user that may not write everywhere, and have a folder that it can be in."""
    folder = Path(tempfile.mkdtemp())
    is_root = os.geteuid() == 0
    try:
        if is_root:
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o700)
        shutil.rmtree(folder)


def test_a_folder_that_cannot_be_written() -> None:
    """With and without a file in it, which is left as it is."""
    with nobody() as folder:
        path = folder / "incidents.sqlite"
        with Incidents(path, notifications=EVERYBODY) as store:
            store.observe([finding(W)], START)
        before = path.read_bytes()
        path.chmod(0o400)
        folder.chmod(0o500)
        for name in ("incidents.sqlite", "new.sqlite", "deep/new.sqlite"):
            with pytest.raises(
                IncidentError, match=r"cannot be written or read .*: check the disk"
            ):
                _observe_in(folder / name)
        assert path.read_bytes() == before
        assert [one.name for one in folder.iterdir()] == ["incidents.sqlite"]


def _observe_in(path: Path) -> None:
    with Incidents(path, notifications=EVERYBODY) as store:
        store.observe([finding(C)], START + MINUTE)


# Several processes, and their ends.

CHILD = """
import os, resource, sys, time
from datetime import datetime, timedelta
from pathlib import Path
from dbmon_pipeline.core.common.errors import IncidentError
from dbmon_pipeline.core.config.rule import Severity
from dbmon_pipeline.core.incidents.incident import Finding
from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline.core.config.notifications import Notifications, TargetConfig

START, MINUTE = datetime(2026, 3, 2, 12), timedelta(minutes=1)
NOTIFICATIONS = Notifications(
    targets={name: TargetConfig(kind="apprise", url="json://x") for name in ("one", "two")},
    attempts=10_000,
)

def finding(rule, is_bad):
    return Finding(
        rule=rule, scope="all", severity=Severity.WARNING if is_bad else None, summary="it is",
        value=1.0, samples=2, limit=3.0, direction="below", window_start=None, window_end=None,
        runbook="", owner="ops",
    )

def incidents(path):
    return Incidents(Path(path), notifications=NOTIFICATIONS)

def begin():
    print("ready", flush=True)
    sys.stdin.readline()
"""
BOTH = Notifications(targets={"one": target(), "two": target()})


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Another process; it stops at its line ``begin()`` until it is let go."""
    return subprocess.Popen(
        [sys.executable, "-c", CHILD + code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def let_go(process: subprocess.Popen[str]) -> None:
    """Have it go on from ``begin()``."""
    assert process.stdin
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()


def together(count: int, code: str, *arguments: object) -> list[list[str]]:
    """Run as many processes at once, each with its number; what each printed, by line."""
    processes = [child(code, *arguments, number) for number in range(count)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    said = []
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, "")
        said.append(out.split("\n")[:-1])
    return said


def test_many_processes_make_the_file_at_once(tmp_path: Path) -> None:
    """None of them meets a half-made one, or a lock."""
    code = """
folder, number = Path(sys.argv[1]), sys.argv[2]
begin()
start = float(int(time.time()) + 1)
for place in range(15):
    time.sleep(max(0, start + place / 30 - time.time()))
    with incidents(folder / str(place)) as store:
        store.remember(number, number)
"""
    together(4, code, tmp_path)
    for place in range(15):
        with Incidents(tmp_path / str(place), notifications=BOTH) as store:
            assert [store.remembered(str(number)) for number in range(4)] == ["0", "1", "2", "3"]


def test_many_processes_lose_nothing(tmp_path: Path) -> None:
    """Rounds, acknowledgements, silences, retries and sending, all at once on one file."""
    path = tmp_path / "incidents.sqlite"
    with Incidents(path, notifications=BOTH) as store:
        store.observe([finding(W, "shared")], START - HOUR)  # notifications 1 and 2
        store.failed([1, 2], START + 900 * HOUR, "away")
    code = """
me = sys.argv[2]
begin()
with incidents(sys.argv[1]) as store:
    for turn in range(12):
        at = START + turn * MINUTE
        (opened,) = store.observe([finding(f"rule_{me}", True)], at, complete=False)
        store.failed([1, 2], START + timedelta(days=40), "away")
        store.acknowledge(opened.number, me, at)
        store.silence({"rule": f"none_{me}"}, START + timedelta(days=9), me, at)
        store.remember(me, str(turn))
        for name, found in store.due(START + timedelta(days=1), lease=9 * MINUTE).items():
            print("\\n".join(str(one.number) for one in found), flush=True)
            store.sent([one.number for one in found], at)
        (over,) = store.observe([finding(f"rule_{me}", False)], at + MINUTE / 2, complete=False)
        assert over.number == opened.number, (over, opened)
"""
    workers = 4
    said = together(workers, code, path)
    with Incidents(path, notifications=BOTH) as store:
        rest = numbers(store.due(START + timedelta(days=2), lease=LEASE))
        claims = Counter([int(line) for lines in said for line in lines] + rest)
        expected = workers * 12 * 2 * 2
        assert claims == Counter(range(3, expected + 3))  # each of them once
        assert [(one.number, one.attempts) for one in store.undelivered()][:2] == [
            (1, 1 + workers * 12),
            (2, 1 + workers * 12),
        ]
        expected_history = {
            (f"rule_{me}", IncidentState.RESOLVED, str(me)): 12 for me in range(workers)
        }
        assert Counter(
            (incident.finding.rule, incident.state, str(incident.acknowledged_by))
            for incident in store.history(None, 999)
        ) == {("shared", IncidentState.FIRING, "None"): 1, **expected_history}
        assert Counter(silence.by for silence in store.silences(START)) == {
            str(me): 12 for me in range(workers)
        }
        assert {store.remembered(str(me)) for me in range(workers)} == {"11"}


SENDER = """
begin()
with incidents(sys.argv[1]) as store:
    step = int(store.remembered("step") or 0)
    while True:
        at = START + step * MINUTE
        store.observe([finding("a", step % 2 == 0), finding("b", step % 4 < 2)], at)
        for name, found in store.due(at, lease=MINUTE / 2).items():
            for one in found:
                with open(sys.argv[2], "a") as log:
                    log.write(f"{one.number} {one.key}\\n")
                store.sent([one.number], at)
        step += 1
        store.remember("step", str(step))
"""


def test_a_process_that_is_killed_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    """Twenty times: each round counts once, and each notification arrives, in order."""
    path, log = tmp_path / "incidents.sqlite", tmp_path / "log"
    chance = random.Random(20260302)  # noqa: S311 - not a secret
    for _ in range(20):
        process = child(SENDER, path, log)
        let_go(process)
        time.sleep(chance.uniform(0.005, 0.1))
        os.kill(process.pid, signal.SIGKILL)
        _, err = process.communicate()
        assert (process.returncode, err) == (-signal.SIGKILL, "")
    with Incidents(path, notifications=BOTH) as store:
        steps = int(store.remembered("step") or 0)
        assert steps > 20
        with log.open("a") as file:
            for several in store.due(FAR, lease=LEASE).values():
                for one in several:
                    file.write(f"{one.number} {one.key}\n")
                    store.sent([one.number], FAR)
        assert store.undelivered() == []
        opened = [one.opened_at for one in store.history(None, 9999) if one.finding.rule == "a"]
    # The last step may have been taken without being remembered.
    assert sorted(opened)[: (steps + 1) // 2] == [START + n * MINUTE for n in range(0, steps, 2)]
    assert len(opened) - (steps + 1) // 2 in (0, 1)
    con = sqlite3.connect(path)
    rows = con.execute("SELECT number, key, target, incident, kind FROM notifications ORDER BY 1")
    told = rows.fetchall()
    con.close()
    arrived: dict[int, str] = {}
    for line in log.read_text().splitlines():
        number, key = line.split()
        assert arrived.setdefault(int(number), key) == key
    assert arrived == {number: key for number, key, *_ in told}
    kinds: dict[tuple[str, int], list[str]] = {}
    for _, _, name, incident, kind in told:
        kinds.setdefault((name, incident), []).append(kind)
    assert {tuple(several) for several in kinds.values()} <= {("opened",), ("opened", "resolved")}
    place = {number: place for place, number in enumerate(arrived)}
    order: dict[tuple[str, int], list[int]] = {}
    for number, _, name, incident, _ in told:
        order.setdefault((name, incident), []).append(place[number])
    assert all(places == sorted(places) for places in order.values())


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """It is told, what was stored stays, and once there is space all goes on."""
    path = tmp_path / "incidents.sqlite"
    code = """
begin()
sys.dont_write_bytecode = True
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
with incidents(sys.argv[1]) as store:
    for turn in range(1000):
        several = [finding(f"rule_{turn}_{n}", True) for n in range(9)]
        try:
            store.observe(several, START, complete=False)
        except IncidentError as error:
            print(turn, len(store.open_incidents()), error)
            break
"""
    process = child(code, path)
    let_go(process)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    turns, opened, message = out.split(" ", 2)
    assert int(turns) > 3
    assert int(opened) == 9 * int(turns)
    assert "cannot be written or read" in message
    assert "free space and the permissions, then repeat; nothing that was stored" in message
    with Incidents(path, notifications=BOTH) as store:
        assert {incident.finding.rule for incident in store.open_incidents()} == {
            f"rule_{turn}_{n}" for turn in range(int(turns)) for n in range(9)
        }
        assert store._con.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert len(numbers(store.due(START, lease=LEASE))) == 2 * int(opened)
        (again,) = store.observe([finding(W, "afterwards")], START + MINUTE, complete=False)
        assert again.state is IncidentState.FIRING


def test_a_full_file_loses_nothing(store: Incidents) -> None:
    """A round that fits only in part is not stored at all; the same store goes on."""
    store.observe([finding(W, "first")], START)
    (pages,) = store._con.execute("PRAGMA page_count").fetchone()
    store._con.execute(f"PRAGMA max_page_count = {pages + 1}")
    many = [finding(W, f"rule_{n}") for n in range(50)]
    with pytest.raises(
        IncidentError, match=r"cannot be written or read \(database or disk is full"
    ):
        store.observe(many, START, complete=False)
    assert [one.finding.rule for one in store.open_incidents()] == ["first"]
    assert [one.incident.number for one in store.undelivered()] == [1]
    store._con.execute("PRAGMA max_page_count = 100000")
    assert len(store.observe(many, START, complete=False)) == 50
