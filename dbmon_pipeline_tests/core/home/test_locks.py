"""Locks: one process works in a home, is named to whoever waits, and is never outlived."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dbmon_pipeline.core.common.errors import HomeBusyError, HomeError
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.home.locks import (
    HomeLock,
    glance,
    holder,
    home_lock,
    is_alive,
    liveness_lock,
)
from dbmon_pipeline_tests.helpers import HOLD_FILE, running
from dbmon_pipeline_tests.soak.small_disk import fill, free, small_disk

HOLD_HOME = """
import pathlib
from dbmon_pipeline.core.home.locks import home_lock
from dbmon_pipeline.core.config.settings import Home
with home_lock(Home(pathlib.Path(sys.argv[1])), "a test", wait_seconds=0):
    wait()
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home that is not there yet, below a folder that is not there either."""
    return Home(tmp_path / "deep" / "home")


def test_a_lock_can_be_taken_again_and_again(home: Home) -> None:
    """After a good end and after a bad one."""
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), home_lock(home, "me", wait_seconds=0):
            raise ZeroDivisionError
    with home_lock(home, "me", wait_seconds=0):
        assert home.lock.exists()


def test_who_works_in_the_home_is_named(home: Home) -> None:
    """With the process and since when, and the wait is as long as was asked for."""
    with running(HOLD_HOME, home.path):
        started = time.monotonic()
        with pytest.raises(HomeBusyError) as raised, home_lock(home, "me", wait_seconds=0.4):
            pytest.fail("two at once")
        assert 0.4 <= time.monotonic() - started < 2
    assert re.fullmatch(
        rf"{re.escape(str(home.path))} is in use by a test \(process \d+, since 20\S+Z\):"
        r" wait until it has ended, or raise home\.lock_wait_seconds",
        str(raised.value),
    )


@pytest.mark.parametrize("note", ["", "nonsense", "[]", "{}", '"text"', "\xff"])
def test_a_note_that_cannot_be_read_hides_no_lock(home: Home, note: str) -> None:
    """The lock is the truth; what it says is for people."""
    home.path.mkdir(parents=True)
    home.lock.write_bytes(note.encode("latin-1"))
    with (
        running(HOLD_FILE, home.lock),
        pytest.raises(HomeBusyError, match="is in use by another process: wait until"),
    ):
        home_lock(home, "me", wait_seconds=0).__enter__()


def test_whoever_waits_comes_next(home: Home) -> None:
    """As soon as the other one ends."""
    code = HOLD_HOME.replace("wait()", "print('here', flush=True); import time; time.sleep(0.7)")
    process = subprocess.Popen(
        [sys.executable, "-c", f"import sys{code}", home.path], stdout=subprocess.PIPE
    )
    assert process.stdout
    assert process.stdout.readline() == b"here\n"
    started = time.monotonic()
    with home_lock(home, "me", wait_seconds=20):
        assert 0.3 < time.monotonic() - started < 10
    process.communicate()


def test_a_killed_process_holds_nothing(home: Home) -> None:
    """The system gives its lock back, whatever it was doing."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import sys{HOLD_HOME}".replace(
                "wait()", "print(1, flush=True);import time; time.sleep(60)"
            ),
            home.path,
        ],
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with home_lock(home, "me", wait_seconds=0):
        assert f'"process": {os.getpid()}' in home.lock.read_text()


def test_a_child_does_not_inherit_the_lock(home: Home) -> None:
    """A process that was started meanwhile, and lives on, must not keep it."""
    with home_lock(home, "me", wait_seconds=0):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with home_lock(home, "me", wait_seconds=0):
        assert child.poll() is None
    child.communicate(b"\n")


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """With the remedy."""
    (tmp_path / "home").write_text("precious")
    with pytest.raises(HomeError, match=r"home cannot be written .*: name a folder that you may"):
        home_lock(Home(tmp_path / "home"), "me", wait_seconds=0).__enter__()
    assert (tmp_path / "home").read_text() == "precious"


NO_ROOM = (
    r"home cannot be written \(No space left on device\): name a folder that you may write with"
    r" --home or DBMON_HOME, and check that its disk has space"
)


def open_files() -> int:
    """Count the open files of this process."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def no_room(*_: object, **__: object) -> None:
    """Fail as on a full disk."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("owner", "operation"), [(Path, "mkdir"), (os, "open"), (os, "pwrite"), (os, "ftruncate")]
)
def test_a_home_without_room(
    home: Home, owner: object, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever has none: the error is the home's, nobody is left locked out, no file left open."""
    before = open_files()
    monkeypatch.setattr(owner, operation, no_room)
    with pytest.raises(HomeError, match=NO_ROOM), home_lock(home, "me", wait_seconds=0):
        pytest.fail("the lock is held without a word of who holds it")
    monkeypatch.undo()
    assert open_files() == before
    with glance(home.lock) as is_held:
        assert not is_held
    with home_lock(home, "me", wait_seconds=0):
        assert f'"process": {os.getpid()}' in home.lock.read_text()


def test_a_full_disk(tmp_path: Path) -> None:
    """A new home cannot be begun; as soon as there is room, it can."""
    disk = tmp_path / "disk"
    with small_disk(disk) as is_mounted:
        if not is_mounted:
            pytest.skip("only root may mount a disk")
        home = Home(disk / "home")
        fill(disk, 0)
        lock = HomeLock(home)
        try:
            with pytest.raises(HomeError, match=NO_ROOM), lock.held("me", wait_seconds=0):
                pytest.fail("the lock is held without a word of who holds it")
            free(disk)
            with lock.held("me", wait_seconds=0), glance(home.lock) as is_held:
                assert is_held
                assert holder(home.lock).startswith(f"me (process {os.getpid()}, since 20")
        finally:
            lock.close()


def test_a_sign_of_life_ends_with_its_process(tmp_path: Path) -> None:
    """While it lives, after it ended well, and after it was killed."""
    path = tmp_path / "live_runs" / "run"
    assert not is_alive(path)
    with liveness_lock(path):
        assert is_alive(path)
    assert not path.exists()
    path.touch()
    assert not is_alive(path)
    assert not path.exists()
