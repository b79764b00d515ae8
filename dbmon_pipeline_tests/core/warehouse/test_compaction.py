"""A warehouse that holds little of what it once did gives its room back, and nothing else."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from dbmon_pipeline.core.common.errors import StorageError
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.warehouse import compaction
from dbmon_pipeline.core.warehouse.compaction import compact
from dbmon_pipeline.core.warehouse.opening import open_warehouse
from dbmon_pipeline_tests.helpers import execution, make_source, refresh_core, settings_for

AS_OF = datetime(2026, 3, 10, 12)


@pytest.fixture
def bloated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home whose warehouse once held much more."""
    monkeypatch.setattr(compaction, "_LEAST_BYTES", 1_000_000)
    settings = settings_for(tmp_path)
    make_source(settings.source, [execution(AS_OF - timedelta(hours=n + 1)) for n in range(100)])
    refresh_core(settings, AS_OF)
    with open_warehouse(settings.home) as warehouse:
        con = warehouse.con
        con.execute("CREATE TABLE once AS SELECT range AS n, random() AS r FROM range(1_000_000)")
        con.execute("CHECKPOINT opened")
        con.execute("DELETE FROM once WHERE n % 100 > 0")
    return settings


def contents(settings: Settings) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables, as text in an order of their own."""
    with duckdb.connect(str(settings.home.warehouse), read_only=True) as con:
        tables = [
            name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        ]
        return {
            name: sorted(con.execute(f"SELECT CAST(t AS VARCHAR) FROM {name} AS t").fetchall())
            for name in tables
        }


def test_free_room_goes_back_to_the_disk(bloated: Settings) -> None:
    """All rows stay; a second time there is nothing to do; a refresh goes on."""
    before, size = contents(bloated), bloated.home.warehouse.stat().st_size
    with open_warehouse(bloated.home) as warehouse:
        freed = compact(warehouse)
        assert compact(warehouse) == 0
        assert warehouse.executions() == 100
    assert contents(bloated) == before
    assert bloated.home.warehouse.stat().st_size == size - freed < size / 2
    assert [path.name for path in bloated.home.path.glob("warehouse*")] == ["warehouse.duckdb"]
    assert refresh_core(bloated, AS_OF).extractions[0].rows == 0


def test_a_file_that_is_full_or_small_is_left_alone(
    bloated: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To write it anew would gain nothing worth it."""
    inode = bloated.home.warehouse.stat().st_ino
    monkeypatch.setattr(compaction, "_LEAST_BYTES", 100_000_000)
    with open_warehouse(bloated.home) as warehouse:
        assert compact(warehouse) == 0
    assert bloated.home.warehouse.stat().st_ino == inode


def test_a_disk_without_room_for_both_is_told(bloated: Settings) -> None:
    """The old file stays, and nothing beside it."""
    before = contents(bloated)
    (bloated.home.path / "warehouse.duckdb.compacting").mkdir()
    with open_warehouse(bloated.home) as warehouse, pytest.raises(StorageError):
        compact(warehouse)
    (bloated.home.path / "warehouse.duckdb.compacting").rmdir()
    assert contents(bloated) == before


_KILLED = """
import os, sys
from pathlib import Path
from dbmon_pipeline.core.warehouse import compaction
from dbmon_pipeline.core.warehouse.opening import open_warehouse
from dbmon_pipeline.core.config.settings import Home
compaction._LEAST_BYTES = 1_000_000
replace = Path.replace
def killed(self, other):
    if sys.argv[2] == "after":
        replace(self, other)
    os.kill(os.getpid(), 9)
Path.replace = killed
with open_warehouse(Home(Path(sys.argv[1]))) as warehouse:
    compaction.compact(warehouse)
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_the_swap(bloated: Settings, when: str) -> None:
    """One of both files is there, whole."""
    before = contents(bloated)
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(bloated.home.path), when], check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert contents(bloated) == before
    with open_warehouse(bloated.home) as warehouse:
        freed = compact(warehouse)
    assert (freed == 0) == (when == "after")
    assert contents(bloated) == before
    assert not (bloated.home.path / "warehouse.duckdb.compacting").exists()
