"""Guarded snapshots of databases that their owners keep open, and refreshes from them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from dbmon_pipeline.core.common.errors import SourceLockedError
from dbmon_pipeline.core.config.monitoring import SourceLimits
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.warehouse import snapshot
from dbmon_pipeline.core.warehouse.snapshot import SnapshotError, take_snapshot
from dbmon_pipeline_tests.helpers import (
    HOLD_DATABASE,
    execution,
    make_source,
    published_rows,
    refresh_core,
    run_dbmon,
    running,
    settings_for,
)

NOON = datetime.fromisoformat("2026-02-10T12:00")
MINUTE = timedelta(minutes=1)

_OWNER = """
import random, sys, time
import duckdb
con = duckdb.connect(sys.argv[1])
con.execute("CREATE TABLE numbers (id BIGINT, text VARCHAR)")
sizes, pause, told, count = eval(sys.argv[2]), float(sys.argv[3]), open(sys.argv[4], "w"), 0
random.seed(1)
while True:
    size = random.choice(sizes)
    con.execute(
        f"INSERT INTO numbers SELECT {count} + i, repeat('x', 20) || i FROM range({size}) AS r (i)"
    )
    count += size
    told.seek(0)
    told.write(f"{count:20d}")
    told.flush()
    if random.random() < 0.05:
        con.execute("CHECKPOINT")
    time.sleep(pause)
"""
"""Inserts 0, 1, 2, ... in transactions of some sizes, and tells how many it has committed."""


@contextmanager
def _owner(folder: Path, sizes: tuple[int, ...], pause: float) -> Iterator[Path]:
    told = folder / "told"
    source = folder / "numbers.db"
    arguments = [str(source), str(sizes), str(pause), str(told)]
    process = subprocess.Popen([sys.executable, "-c", _OWNER, *arguments])
    try:
        deadline = time.monotonic() + 30
        while not told.exists() or not told.read_text():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield source
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(("sizes", "pause"), [((1,), 0.002), ((1, 1, 150_000), 0.02)])
def test_a_copy_is_a_state_that_was_committed(
    tmp_path: Path, sizes: tuple[int, ...], pause: float
) -> None:
    """Nothing that was committed before is missing, and no transaction is there in part."""
    copy = tmp_path / "copies" / "numbers.db"
    seen = set()
    with _owner(tmp_path, sizes, pause) as source:
        for _ in range(15):
            committed = int((tmp_path / "told").read_text())
            taken = take_snapshot(source, copy)
            assert taken.size_bytes >= copy.stat().st_size
            with duckdb.connect(str(copy), read_only=True) as con:
                count, last, distinct, texts = con.execute(
                    "SELECT count(*), max(id), count(DISTINCT id), min(length(text)) FROM numbers"
                ).fetchall()[0]
            assert count == last + 1 == distinct
            assert count >= committed
            assert texts > 20
            seen.add(count)
    assert len(seen) > 5


def test_a_database_at_rest(tmp_path: Path) -> None:
    """It is copied byte by byte, and a log of an older copy does not stay."""
    source = make_source(tmp_path / "learning.db", [execution(NOON)])
    copy = tmp_path / "copies" / "learning.db"
    copy.parent.mkdir()
    log = copy.with_name("learning.db.wal")
    log.write_bytes(b"of another")
    assert take_snapshot(source, copy).attempts == 1
    assert copy.read_bytes() == source.read_bytes()
    assert not log.exists()


def test_while_a_checkpoint_is_under_way_there_is_none(tmp_path: Path) -> None:
    """The second log that DuckDB has then is enough to tell."""
    source = make_source(tmp_path / "learning.db", [execution(NOON)])
    source.with_name("learning.db.wal.checkpoint").touch()
    with pytest.raises(SnapshotError, match="its owner wrote a checkpoint during each of 8"):
        take_snapshot(source, tmp_path / "copy.db")


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """What the system says is passed on."""
    source = make_source(tmp_path / "learning.db", [execution(NOON)])
    code = """
import resource, sys
from pathlib import Path
from dbmon_pipeline.core.warehouse.snapshot import SnapshotError, take_snapshot
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    take_snapshot(Path(sys.argv[1]), Path(sys.argv[2]))
except SnapshotError as error:
    print(error)
"""
    command = [sys.executable, "-c", code, str(source), str(tmp_path / "copy.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("copying it failed ([Errno 27] File too large")


def test_the_locks_of_the_own_process_stay(tmp_path: Path) -> None:
    """An owner that takes a copy of its own database still holds it."""
    source = make_source(tmp_path / "learning.db", [execution(NOON)])
    code = HOLD_DATABASE.replace(
        "\nwait()",
        "\nfrom pathlib import Path\n"
        "from dbmon_pipeline.core.warehouse.snapshot import take_snapshot\n"
        "take_snapshot(Path(sys.argv[1]), Path(sys.argv[2]))\nwait()",
    )
    with (
        running(code, source, tmp_path / "copy.db"),
        pytest.raises(duckdb.IOException, match="lock"),
    ):
        duckdb.connect(str(source))
    assert (tmp_path / "copy.db").exists()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A source with one execution, and a short wait for it."""
    made = settings_for(tmp_path, source=SourceLimits(lock_wait_seconds=0.1))
    make_source(made.source, [execution(NOON - 5 * MINUTE)])
    return made


_OWNER_OF_EXECUTIONS = """
import duckdb
con = duckdb.connect(sys.argv[1])
con.execute(
    "INSERT INTO executions BY NAME SELECT * REPLACE ('new' AS task_id) FROM executions LIMIT 1"
)
wait()
"""


def test_a_source_that_its_owner_keeps_open_is_refreshed(settings: Settings) -> None:
    """From a copy, with what is in the log alone; it is taken once, and goes when it may."""
    with running(_OWNER_OF_EXECUTIONS, settings.source):
        [first] = refresh_core(settings, NOON).extractions
        assert settings.home.snapshots.stat().st_mode & 0o777 == 0o700
        taken_at = (settings.home.snapshots / settings.source.name).stat().st_mtime_ns
        [again] = refresh_core(settings, NOON).extractions
        rows = published_rows(settings, "recent_executions")
        told = run_dbmon("status", "--format", "json", "--home", settings.home.path)
    assert json.loads(told.stdout)["database"]["read_from"] == "snapshot"
    assert (first.rows, first.holds_ms, again.rows) == (2, (), 0)
    assert first.snapshot
    assert again.snapshot
    assert again.snapshot.path.stat().st_mtime_ns == taken_at
    assert "new" in {row["task_id"] for row in rows}
    [last] = refresh_core(settings, NOON).extractions
    assert last.snapshot is None
    assert last.holds_ms
    assert not settings.home.snapshots.exists()


def test_a_copy_that_cannot_be_taken(settings: Settings) -> None:
    """Who holds the source and why there is no copy is told; a damaged copy is taken anew."""
    settings.source.with_name("learning.db.wal.checkpoint").touch()
    with running(HOLD_DATABASE, settings.source):
        with pytest.raises(
            SourceLockedError, match="no copy of it could be taken: its owner wrote"
        ):
            refresh_core(settings, NOON)
        settings.source.with_name("learning.db.wal.checkpoint").unlink()
        refresh_core(settings, NOON)
        copy = settings.home.snapshots / settings.source.name
        copy.write_bytes(copy.read_bytes()[:5000])
        with pytest.raises(Exception, match="damaged or cut short"):
            refresh_core(settings, NOON)
        [healed] = refresh_core(settings, NOON).extractions
    assert healed.snapshot
    assert copy.stat().st_size == settings.source.stat().st_size


def test_there_is_no_place_for_a_copy(settings: Settings) -> None:
    """That is told of the copy, and of nothing else."""
    settings.home.path.mkdir(parents=True, exist_ok=True)
    settings.home.snapshots.write_text("in the way")
    with (
        running(HOLD_DATABASE, settings.source),
        pytest.raises(SourceLockedError, match=r"no copy of it could be taken: .*snapshots"),
    ):
        refresh_core(settings, NOON)


def test_a_copy_that_nobody_waits_for_ends(tmp_path: Path) -> None:
    """Else it would write into the one that the next refresh takes."""
    source, target = make_source(tmp_path / "learning.db"), tmp_path / "copy.db"
    script = Path(snapshot.__file__)
    for parent, code in ((os.getpid(), 0), (os.getpid() + 1, 1)):
        done = subprocess.run(
            [sys.executable, "-I", script, source, target, str(parent)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code
    assert done.stderr == "nobody waits for it any more\n"
