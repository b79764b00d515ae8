"""No lock: while a source is read, in whatever way, its owner could not tell."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.open_reader import database_reader
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.core.refresh.worker import Worker
from dbmon_pipeline.core.source.health import source_health
from dbmon_pipeline_tests.helpers import (
    HOLD_DATABASE,
    execution,
    make_source,
    refresh_with,
    run_dbmon,
    running,
    settings_for,
)

AS_OF = datetime(2026, 2, 10, 12)
_WATCH = """
import fcntl, os, struct, sys, threading
inode = os.stat(sys.argv[1]).st_ino
owner = int(sys.argv[2])
file = os.open(sys.argv[1], os.O_RDWR)
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
print("here", flush=True)
looks, seen = 0, set()
while not stop.wait(0.001):
    looks += 1
    for line in open("/proc/locks"):
        fields = [field for field in line.split() if field != "->"]
        if fields[5].rsplit(":", 1)[1] == str(inode):
            seen.add(int(fields[4]))
    asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, holder = struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, asked))
    if kind != fcntl.F_UNLCK:
        seen.add(holder)
print(looks, *sorted(seen - {owner}), "owner" if owner in seen else "", flush=True)
"""
"""Looks for locks on a file until its input ends; says how often, and who else had one."""


@contextmanager
def watched(path: Path, owner: int = 0) -> Iterator[list[str]]:
    """Watch a file for locks; the list says in the end how often was looked, and who had one."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WATCH, path, str(owner)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "here\n"
    found: list[str] = []
    try:
        yield found
    finally:
        output, _ = process.communicate(timeout=60)
        found += output.split()


@pytest.fixture
def site(tmp_path: Path) -> Settings:
    """A source of 500 executions."""
    settings = settings_for(tmp_path, rules={})
    moments = (AS_OF - timedelta(minutes=20 * n + 1) for n in range(500))
    make_source(settings.source, [execution(moment) for moment in moments])
    return settings


def test_the_watch_sees_a_lock(site: Settings) -> None:
    """The control: an attached database is locked for reading."""
    with watched(site.source) as found, duckdb.connect(str(site.source), read_only=True) as con:
        con.execute("SELECT count(*) FROM executions").fetchall()
        subprocess.run([sys.executable, "-c", "import time; time.sleep(0.5)"], check=True)
    looks, *holders = found
    assert int(looks) > 10
    assert holders


@pytest.mark.parametrize("is_held", [True, False])
def test_no_lock_while_it_is_read(site: Settings, *, is_held: bool) -> None:
    """By refreshes, the health check with ``--db``, and a look at its health; held by an owner."""

    def read_in_every_way() -> None:
        worker = Worker(site.home)
        for minute, is_full in enumerate((False, True)):
            as_of = AS_OF + timedelta(minutes=minute)
            refresh_with(worker.lock, worker.reader, site, as_of, full=is_full)
        worker.close()
        assert source_health(site.source).problem is None
        if is_held:
            told = run_dbmon("status", "--db", site.source, "--format", "json")
            assert '"errors": []' in told.stdout or '"executions"' in told.stdout, told.stderr
        else:
            with database_reader(site.source, site.config, AS_OF) as reader:
                assert reader.ask("key_figures", TimeRange.DAY).rows

    if is_held:
        with running(_TELL_OWNER, site.source):
            owner = int(site.source.with_name("owner").read_text())
            with watched(site.source, owner) as found:
                read_in_every_way()
        looks, *holders = found
        assert holders == ["owner"]
    else:
        with watched(site.source) as found:
            read_in_every_way()
        looks, *holders = found
        assert holders == []
    assert int(looks) > 10


_TELL_OWNER = HOLD_DATABASE.replace(
    "wait()",
    "import os, pathlib\n"
    "pathlib.Path(sys.argv[1]).with_name('owner').write_text(str(os.getpid()))\nwait()",
)
