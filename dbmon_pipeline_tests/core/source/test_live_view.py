"""The guard: what it refuses, and what it does not mind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from dbmon_pipeline.core.source.block_pins import BLOCK_BYTES, HEADER_BYTES
from dbmon_pipeline.core.source.live_file_system import DATABASE, LiveFileSystem
from dbmon_pipeline.core.source.live_view import LiveView, ReadingThrownAwayError
from dbmon_pipeline_tests.core.source.live_trial import OLDER_DUCKDB, OwnerProcess, owner_of
from dbmon_pipeline_tests.core.source.test_live_file import OLDER_AND_NEWER, read_once

LOG = f"{DATABASE}.wal"
SECOND = 1_000_000_000
ODD = 123_456_789


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database file with one table, two blocks of it and more, and a log; nobody writes it."""
    path = tmp_path / "learning.db"
    with owner_of(path) as owner:
        owner.order("CREATE TABLE t AS SELECT hash(range) AS x FROM range(100000)")
        owner.order("CHECKPOINT")
        owner.order("INSERT INTO t VALUES (1)")
    set_age(path, 5)
    return path


@pytest.fixture
def view(path: Path) -> Iterator[LiveView]:
    """A view that is not strict."""
    with LiveView(path, is_strict=False) as opened:
        opened.check()
        yield opened


def set_age(path: Path, seconds: int) -> None:
    """Make a file and its log older than they are, on a clock that does not stop at seconds."""
    written = time.time_ns() // SECOND * SECOND - seconds * SECOND + ODD
    for file in (path, log_of(path)):
        if file.exists():
            os.utime(file, ns=(written, written))


def log_of(path: Path) -> Path:
    """Name the log of a path without a question mark."""
    return Path(f"{path}.wal")


def overwrite(path: Path, position: int, content: bytes) -> None:
    """Write into the middle of a file."""
    with path.open("r+b") as file:
        file.seek(position)
        file.write(content)


def write_header(path: Path) -> None:
    """Change the second database header."""
    overwrite(path, HEADER_BYTES - 1, b"!")


def replace_file(path: Path) -> None:
    """Put another file with the same content in its place."""
    path.with_name("other").write_bytes(path.read_bytes())
    path.with_name("other").rename(path)


def replace_log(path: Path) -> None:
    """Put another log with the same content in its place."""
    log = log_of(path)
    log.with_name("other").write_bytes(log.read_bytes())
    log.with_name("other").rename(log)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "header": (write_header, "checkpoint was finished"),
    "file replaced": (replace_file, "the file was replaced"),
    "file removed": (Path.unlink, "is gone"),
    "file cut": (lambda path: os.truncate(path, HEADER_BYTES - 1), "checkpoint was finished"),
    "log replaced": (replace_log, "the log was replaced"),
    "log removed": (lambda path: log_of(path).unlink(), "is gone"),
    "log cut": (lambda path: os.truncate(log_of(path), 20), "the log was rewritten"),
    "log rewritten": (lambda path: overwrite(log_of(path), 9, b"!"), "the log was rewritten"),
    "second log": (lambda path: Path(f"{path}.wal.checkpoint").touch(), "is under way"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_state(path: Path, view: LiveView, change: str) -> None:
    """Each change alone is seen, by a view that is not strict too."""
    write, reason = CHANGES[change]
    write(path)
    with pytest.raises(ReadingThrownAwayError, match=reason):
        view.check()


def test_an_appended_log(path: Path, view: LiveView) -> None:
    """A commit meanwhile does not matter."""
    with log_of(path).open("ab") as log:
        log.write(b"more")
    view.check()


def test_a_written_block(path: Path, view: LiveView) -> None:
    """Only a strict view minds."""
    with LiveView(path, is_strict=True) as strict:
        strict.check()
        overwrite(path, HEADER_BYTES + 5, b"!")
        view.check()
        with pytest.raises(ReadingThrownAwayError, match="blocks were written"):
            strict.check()


def test_a_strict_view_waits_for_the_clock(path: Path) -> None:
    """A write in the same step of the clock would not be seen."""
    now = time.time_ns() | 1
    os.utime(path, ns=(now, now))
    with pytest.raises(ReadingThrownAwayError, match="is being written"):
        LiveView(path, is_strict=True)
    LiveView(path, is_strict=False).close()
    time.sleep(0.02)
    LiveView(path, is_strict=True).close()
    whole_second = time.time_ns() // SECOND * SECOND
    os.utime(path, ns=(whole_second, whole_second))
    time.sleep(0.02)
    with pytest.raises(ReadingThrownAwayError, match="is being written"):
        LiveView(path, is_strict=True)


def abort_checkpoint(owner: OwnerProcess) -> None:
    """Have an owner die between the mark in its log and the header."""
    owner.order("SET debug_checkpoint_abort = 'before_header'")
    assert "aborted" in owner.order_in_vain("CHECKPOINT")
    owner.kill()


@OLDER_AND_NEWER
def test_a_checkpoint_mark(tmp_path: Path, is_older: bool) -> None:
    """A checkpoint is under way, unless nothing was written for 30 seconds."""
    path = tmp_path / "learning.db"
    with owner_of(path, is_older=is_older) as owner:
        owner.order("CREATE TABLE t AS SELECT 1 AS x")
        abort_checkpoint(owner)
    for age in (0, 5, 28):
        set_age(path, age)
        with pytest.raises(ReadingThrownAwayError, match="a checkpoint is under way"):
            LiveView(path, is_strict=False)
    set_age(path, 33)
    assert read_once(path) == 1
    with LiveView(path, is_strict=False) as view:
        overwrite(path, path.stat().st_size, b"!")
        set_age(path, 31)
        with pytest.raises(ReadingThrownAwayError, match="blocks were written"):
            view.check()
        os.utime(log_of(path))
        with pytest.raises(ReadingThrownAwayError, match="a checkpoint is under way"):
            view.check()


DIE_IN_A_CHECKPOINT = """
import os, pathlib, sys, threading, duckdb
con = duckdb.connect(sys.argv[1])
con.execute("CREATE TABLE t (x BIGINT)")
con.execute("CREATE TABLE large AS SELECT range AS x, md5(range::VARCHAR) AS s FROM range(300000)")
con.execute("SET wal_autocheckpoint = '1TB'; CHECKPOINT; UPDATE large SET s = md5(s)")
owner, committed = con.cursor(), 0
checkpoint = threading.Thread(target=lambda: con.execute("CHECKPOINT"), daemon=True)
checkpoint.start()
log = pathlib.Path(sys.argv[1] + ".wal.checkpoint")
while checkpoint.is_alive():
    owner.execute("INSERT INTO t VALUES (1)")
    committed += 1
    if log.exists():
        print(committed, flush=True)
        os.kill(os.getpid(), 9)
"""


def die_in_a_checkpoint(path: Path, *, is_older: bool) -> int:
    """Have an owner die in a checkpoint during which it committed; how many rows it did in all."""
    for _ in range(20):
        for file in path.parent.iterdir():
            file.unlink()
        told = subprocess.run(
            [sys.executable, "-c", DIE_IN_A_CHECKPOINT, path],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(OLDER_DUCKDB) if is_older else ""},
            check=False,
        ).stdout
        if told and log_of(path).exists():
            return int(told)
    pytest.fail("the checkpoint was over each time")


@OLDER_AND_NEWER
def test_an_owner_that_died_in_a_checkpoint(tmp_path: Path, is_older: bool) -> None:
    """Both of its logs are read, as DuckDB does, once nothing was written for 30 seconds."""
    path = tmp_path / "learning.db"
    committed = die_in_a_checkpoint(path, is_older=is_older)
    set_age(path, 33)
    with pytest.raises(ReadingThrownAwayError, match="a checkpoint is under way"):
        LiveView(path, is_strict=False)
    second = Path(f"{path}.wal.checkpoint")
    os.utime(second, ns=(path.stat().st_mtime_ns,) * 2)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    assert read_once(path) == committed
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before
    with LiveView(path, is_strict=False) as view:
        assert view.logs[".wal.checkpoint"] == second.read_bytes()
        view.check()
        with second.open("ab") as log:
            log.write(b"more")
        with pytest.raises(ReadingThrownAwayError, match="a checkpoint is under way"):
            view.check()


@OLDER_AND_NEWER
def test_a_checkpoint_mark_in_a_log_begun_meanwhile(tmp_path: Path, is_older: bool) -> None:
    """Nothing but the mark tells, since the view has read no log and is not strict."""
    path = tmp_path / "learning.db"
    with owner_of(path, is_older=is_older) as owner:
        owner.order("CREATE TABLE t AS SELECT 1 AS x; CHECKPOINT")
        assert not log_of(path).exists()
        with LiveView(path, is_strict=False) as view:
            assert not view.logs
            owner.order("INSERT INTO t VALUES (2)")
            view.check()
            abort_checkpoint(owner)
            with pytest.raises(ReadingThrownAwayError, match="a checkpoint is under way"):
                view.check()


def test_other_log_entries_are_no_mark(path: Path, view: LiveView) -> None:
    """Bytes that look like one elsewhere do not count."""
    mark = bytes.fromhex(
        "170000000000000007ce7264ebb556f36400636500640080808080808080800a650008ffffffff"
    )
    for entry in (mark[:-1], mark + b"!", mark[16:], bytes(300) + mark[:16]):
        with log_of(path).open("ab") as log:
            log.write(entry)
        view.check()
    with log_of(path).open("ab") as log:
        log.write(mark)
    with pytest.raises(ReadingThrownAwayError, match="a checkpoint is under way"):
        view.check()


def test_the_database_has_a_position_for_each_thread(path: Path, view: LiveView) -> None:
    """Whichever thread comes between seek and read."""
    content = path.read_bytes()
    files = LiveFileSystem()
    files.view = view
    file = files.open(DATABASE)
    file.seek(HEADER_BYTES)
    other = threading.Thread(target=lambda: file.seek(HEADER_BYTES + BLOCK_BYTES))
    other.start()
    other.join()
    assert file.read(100) == content[HEADER_BYTES : HEADER_BYTES + 100]
    assert file.tell() == HEADER_BYTES + 100
    assert file.read() == content[HEADER_BYTES + 100 :]
    file.seek(HEADER_BYTES - 10)
    assert file.read(20) == content[HEADER_BYTES - 10 : HEADER_BYTES + 10]


def test_the_log_has_one_position(path: Path, view: LiveView) -> None:
    """It is read in turn, though not always on the same thread."""
    files = LiveFileSystem()
    files.view = view
    file = files.open(LOG)
    parts = [file.read(7)]
    other = threading.Thread(target=lambda: parts.append(file.read(5)))
    other.start()
    other.join()
    parts.append(file.read())
    assert b"".join(parts) == log_of(path).read_bytes() == view.logs[".wal"]
    assert len(parts[1]) == 5


def test_the_file_system_has_the_files_of_its_view(tmp_path: Path, path: Path) -> None:
    """The database and its logs, or none; it cannot write."""
    files = LiveFileSystem()
    names = [DATABASE, LOG, f"{LOG}.checkpoint", "live://", str(path)]
    assert not any(map(files.exists, names))
    with LiveView(path, is_strict=False) as view:
        files.view = view
        assert [name for name in names if files.exists(name)] == [DATABASE, LOG]
        assert files.size(DATABASE) == path.stat().st_size
        assert files.info(LOG)["size"] == log_of(path).stat().st_size
        assert files.glob("live://*") == []
        for name, mode in ((DATABASE, "wb"), (DATABASE, "r+b"), (f"{LOG}.checkpoint", "rb")):
            with pytest.raises(FileNotFoundError):
                files.open(name, mode)
    # The number of its descriptor is another file's by now.
    with path.open("rb"), pytest.raises(OSError, match="Bad file descriptor"):
        files.open(DATABASE).read(HEADER_BYTES + 1)
    plain = tmp_path / "plain.db"
    with duckdb.connect(plain):
        pass
    with LiveView(plain, is_strict=False) as view:
        files.view = view
        assert [name for name in names if files.exists(name)] == [DATABASE]
