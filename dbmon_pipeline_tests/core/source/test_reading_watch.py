"""The watch over readings: what it ends, and what it leaves alone."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.source import live_file, reading_watch
from dbmon_pipeline.core.source.live_file import LiveFile
from dbmon_pipeline.core.source.live_view import LiveView
from dbmon_pipeline.core.source.reader_protocol import ENGINE_BROKEN_EXIT
from dbmon_pipeline.core.source.reading_watch import watched
from dbmon_pipeline_tests.core.source.live_trial import owner_of

ENDLESS = "SELECT count(*) FROM range(1000000000000)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with three rows."""
    path = tmp_path / "learning.db"
    with owner_of(path) as owner:
        owner.order("CREATE TABLE t AS SELECT * FROM range(3) AS r(x)")
    return path


@pytest.fixture
def view(path: Path) -> Iterator[LiveView]:
    """A view of it."""
    with LiveView(path, is_strict=False) as opened:
        yield opened


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again, and interrupt, every few milliseconds."""
    monkeypatch.setattr(reading_watch, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(reading_watch, "_HEED_SECONDS", 0.02)


def write(path: Path) -> None:
    """Let an owner add a row and write it back."""
    with owner_of(path) as owner:
        owner.order("INSERT INTO t VALUES (7)")
        owner.order("CHECKPOINT")


@pytest.mark.usefixtures("impatient")
def test_a_reading_whose_state_is_gone_is_made_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statement that would never end is interrupted, and what it raises does not count."""
    monkeypatch.setattr(live_file, "_WATCHED_FROM_SECONDS", 0.05)
    attempts = 0

    def query(cursor: duckdb.DuckDBPyConnection) -> int:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            write(path)
            cursor.execute(ENDLESS).fetchall()
        (count,) = cursor.execute("SELECT count(*) FROM source.main.t").fetchall()[0]
        return int(count)

    with connect() as con:
        file = LiveFile(con, path)
        assert file.read(query) == 4
        # A reading that is refused while the file is still fresh asks nothing.
        assert file.stats.readings == file.stats.thrown_away + 1 >= attempts > 1


@pytest.mark.usefixtures("impatient")
def test_a_long_reading_whose_state_holds_is_left_alone(view: LiveView) -> None:
    """As long as it asks for bytes."""
    interrupts: list[None] = []
    with watched(view, lambda: interrupts.append(None), seconds=0.01):
        for _ in range(10):
            time.sleep(0.02)
            view.read(0, 1)
    assert not interrupts


@pytest.mark.usefixtures("impatient")
def test_a_reading_that_asks_for_nothing_hangs(
    view: LiveView, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although its state holds."""
    monkeypatch.setattr(reading_watch, "_HANGS_AFTER_SECONDS", 0.1)
    started = time.monotonic()
    with (
        connect() as con,
        pytest.raises(duckdb.InterruptException),
        watched(view, con.interrupt, seconds=0.02),
    ):
        con.execute(ENDLESS).fetchall()
    assert time.monotonic() - started >= 0.1


def test_what_heeds_no_interrupt_ends_its_process(path: Path) -> None:
    """With the exit code by which the client knows that the reading is to be made again."""
    code = f"""
import os, time
from pathlib import Path
from dbmon_pipeline.core.source import reading_watch
from dbmon_pipeline.core.source.live_view import LiveView
reading_watch._HEED_SECONDS = 0.01
path = Path({str(path)!r})
with LiveView(path, is_strict=False) as view:
    path.rename(path.with_name("other.db"))
    with reading_watch.watched(view, lambda: print("interrupted", flush=True), seconds=0.01):
        time.sleep(60)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == ENGINE_BROKEN_EXIT
    assert ended.stdout == "interrupted\n" * 10
