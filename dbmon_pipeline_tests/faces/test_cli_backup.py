"""``dbmon backup`` and ``dbmon refresh --from-backup``, run as a person runs them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.schema.manifest import read_manifest
from dbmon_pipeline_tests.command import dbmon_here
from dbmon_pipeline_tests.helpers import (
    add_rows,
    execution,
    make_source,
    published_rows,
    refresh_core,
    run_dbmon,
    settings_for,
)

AS_OF = datetime.fromisoformat("2026-03-20T12:00")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A refreshed home; the tests leave what is published in it as it is."""
    made = settings_for(tmp_path_factory.mktemp("backup"))
    rows = [execution(AS_OF - timedelta(hours=5 * n + 1)) for n in range(100)]
    make_source(made.source, rows)
    refresh_core(made, AS_OF)
    return made


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than the home."""
    places = [Path("/dev/shm"), Path("/tmp"), Path.cwd()]  # noqa: S108
    here = tmp_path.stat().st_dev
    place = next((p for p in places if p.is_dir() and p.stat().st_dev != here), None)
    if place is None:
        pytest.skip("there is one file system only")
    with TemporaryDirectory(dir=place, prefix="dbmon_backup_") as folder:
        yield Path(folder)


def back_up(settings: Settings, *more: object, first: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command on a home."""
    where = ("--home", settings.home.path)
    if first:
        return run_dbmon("backup", *more, *where, first=first)
    return dbmon_here("backup", *more, *where)


def refusal(ended: subprocess.CompletedProcess[str]) -> str:
    """The one line that a failing command says."""
    assert (ended.returncode, ended.stdout) == (3, "")
    [line] = ended.stderr.splitlines()
    assert line.startswith("dbmon: ")
    return line


def files_in(folder: Path) -> dict[str, bytes]:
    """Everything below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_backup(settings: Settings, tmp_path: Path) -> None:
    """What was made is told on stderr."""
    ended = back_up(settings, tmp_path / "a backup")
    files = [f for f in files_in(settings.home.generation) if f.endswith(".parquet")]
    size = sum((settings.home.generation / file).stat().st_size for file in files) / 1e6
    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr == (
        f"backed up generation 1, {len(files)} files of {size:.1f} MB, in {tmp_path}/a backup"
        " as links, since it is on the same disk\n"
    )
    assert read_manifest(tmp_path / "a backup") == read_manifest(settings.home.generation)


def test_a_backup_on_another_disk(settings: Settings, other_disk: Path) -> None:
    """It is copied, or nothing of it stays: a limit on the size of files is a real failure."""
    full = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))"
    )
    line = refusal(back_up(settings, other_disk / "backup", first=full))
    assert f"{other_disk}/backup cannot be written or read (" in line
    assert "free some space on that disk and repeat" in line
    assert list(other_disk.iterdir()) == []
    few = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (40, 4096))"
    ended = back_up(settings, other_disk / "backup", first=few)
    assert (ended.returncode, ended.stderr.endswith(f" MB, in {other_disk}/backup\n")) == (0, True)
    published = files_in(settings.home.generation)
    there = files_in(other_disk / "backup")
    assert {name: there[name] for name in published} == published


def test_no_backup(settings: Settings, tmp_path: Path) -> None:
    """One line, and what is there stays."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "precious").touch()
    line = refusal(back_up(settings, tmp_path / "theirs"))
    assert line.endswith("theirs is not empty, and no backup of dbmon: name a new folder")
    empty = Settings(settings.source, Home(tmp_path / "empty"), settings.config)
    assert "nothing is published in" in refusal(back_up(empty, tmp_path / "backup"))
    assert {path.name for path in tmp_path.rglob("*")} == {"theirs", "precious"}


def test_a_refresh_from_a_backup(settings: Settings, tmp_path: Path) -> None:
    """A new home goes on from it: what changed since is read, and nothing else."""
    back_up(settings, tmp_path / "backup")
    source = Path(shutil.copy(settings.source, tmp_path / "learning.db"))
    add_rows(source, [execution(AS_OF - timedelta(hours=n)) for n in (1, 30)])
    home = Home(tmp_path / "home")
    arguments = ["refresh", "--source", source, "--home", home.path]
    line = refusal(dbmon_here(*arguments, "--from-backup", tmp_path / "none"))
    assert line.endswith("none does not exist: name a folder that dbmon backup made")
    assert not home.published.exists()
    from_backup = [*arguments, "--from-backup", tmp_path / "backup"]
    ended = dbmon_here(*from_backup, "--as-of", "2026-03-20T12:05:00Z")
    assert ended.returncode == 0, ended.stderr
    lines = ended.stderr.splitlines()
    assert f"took up generation 1 of {tmp_path}/backup, as of 2026-03-20T12:00:00Z" in lines
    assert lines[-1].startswith("published generation 2: ")
    restored = Settings(source, home, settings.config)
    rows = published_rows(restored, "daily_summary")
    assert sum(int(str(row["executions"])) for row in rows) == 102
    [refreshed] = [r for r in published_rows(restored, "refresh_history") if r["as_of"] > AS_OF]  # type: ignore[operator]
    assert refreshed["rows_read"] in range(2, 20)
    assert "has published generation 2, which the backup" in refusal(dbmon_here(*from_backup))
