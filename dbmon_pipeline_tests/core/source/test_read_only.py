"""Sources that cannot be written: a folder or a disk that is read-only is read all the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.source import kinds
from dbmon_pipeline_tests.helpers import (
    DROP_PRIVILEGES,
    Row,
    add_row_to_log,
    clean_environ,
    execution,
    make_source,
    settings_for,
)
from dbmon_pipeline_tests.histories import refresh_here
from dbmon_pipeline_tests.soak.small_disk import make_read_only, small_disk
from dbmon_pipeline_tests.truth import assert_published

AS_OF = datetime(2026, 2, 10, 12)
ROW = execution(datetime(2026, 2, 10, 9, 30))
ROWS: list[Row] = [ROW, {**ROW, "task_id": "new"}]
"""What both sources hold; the second row of the database is in its log alone."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a log, and the same rows as Parquet files."""
    folder = tmp_path_factory.mktemp("sources")
    database = make_source(folder / "learning.db", [ROW])
    (folder / "files").mkdir()
    add_row_to_log(database)
    copy = Path(shutil.copytree(folder, folder / "copy"))
    with connect(copy / "learning.db") as con:
        con.execute(f"COPY executions TO '{folder}/files/a.parquet' (FORMAT parquet)")
    shutil.rmtree(copy)
    return folder


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """The time and the content of every file in a folder, and of those below it."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


REFRESH = """
import os, sys
from datetime import datetime
from pathlib import Path
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline_tests.helpers import refresh_core
folder, *names = sys.argv[2:]
assert not os.access(folder, os.W_OK), "the folder can be written"
for name in names:
    source = Path(folder, name)
    assert not os.access(source, os.W_OK), "the source can be written"
    settings = Settings.load(source, Path(f"{folder}-{name}"), environ={})
    refresh_core(settings, datetime.fromisoformat(sys.argv[1]))
"""
"""Refreshes homes from sources in a folder that its process may not write."""


def test_a_folder_that_may_not_be_written(sources: Path, tmp_path: Path) -> None:
    """Nor its files; by a process that permissions bind, its reader process with it."""
    folder = tmp_path / "theirs"
    shutil.copytree(sources, folder)
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = contents(folder)
    become = f"import os, sys\n{DROP_PRIVILEGES}\nos.execv(sys.argv[1], sys.argv[1:])"
    work = [sys.executable, "-c", REFRESH, AS_OF.isoformat(), str(folder), "learning.db", "files"]
    try:
        done = subprocess.run(
            [sys.executable, "-c", become, *work],
            env=clean_environ(),
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        for path in paths:
            path.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert contents(folder) == before
    for name, read_as in (("learning.db", "live"), ("files", "files")):
        home = Home(tmp_path / f"theirs-{name}")
        assert_published(home, ROWS, AS_OF)
        history = Published(home).rows("refresh_history")
        assert history.rows[0][history.columns.index("read_as")] == read_as


def test_a_disk_that_is_mounted_read_only(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody may write there, not even root: read live, attached as on a network, or as files."""
    disk = tmp_path / "disk"
    with small_disk(disk) as is_mounted:
        if not is_mounted:
            pytest.skip("only root may mount a disk")
        shutil.copytree(sources, disk, dirs_exist_ok=True)
        make_read_only(disk)
        assert os.statvfs(disk).f_flag & os.ST_RDONLY
        before = contents(disk)
        for name, read_as in (
            ("learning.db", "live"),
            ("files", "files"),
            ("learning.db", "attached"),
        ):
            if read_as == "attached":
                monkeypatch.setattr(kinds, "is_local", lambda _: False)
            made = settings_for(tmp_path / read_as, rules={})
            done = refresh_here(Settings(disk / name, made.home, made.config), AS_OF)
            assert done.rolled_up.reading.read_as == read_as
            assert_published(made.home, ROWS, AS_OF)
        assert contents(disk) == before
