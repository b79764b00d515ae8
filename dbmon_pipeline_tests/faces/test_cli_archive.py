"""``dbmon archive``, run as a person runs it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from dbmon_pipeline_tests.command import dbmon_here
from dbmon_pipeline_tests.helpers import (
    DROP_PRIVILEGES,
    add_rows,
    change_source,
    clean_environ,
    dbmon_command,
    execution,
    make_source,
    run_dbmon,
)

AT = datetime.fromisoformat("2026-02-27T10:00")
BEFORE = "2026-03-02"
FILES = ["executions_2026-02.parquet", "executions_2026-03_before_2026-03-02.parquet"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Five days with an execution each: two in February, one in March before the day."""
    return make_source(
        tmp_path / "learning.db", [execution(AT + timedelta(days=day)) for day in range(5)]
    )


def archive(
    source: Path, *more: object, before: str = BEFORE, first: str = "", **environ: object
) -> subprocess.CompletedProcess[str]:
    """Run the command on a source, with the home beside it."""
    home = source.with_name("home")
    arguments = ["--before", before, "--source", source, "--home", home, *more]
    if first:
        return run_dbmon("archive", *arguments, first=first, **environ)
    return dbmon_here("archive", *arguments, **environ)


def refusal(ended: subprocess.CompletedProcess[str]) -> str:
    """The one line that a failing command says."""
    assert (ended.returncode, ended.stdout) == (3, "")
    [line] = ended.stderr.splitlines()
    assert line.startswith("dbmon: ")
    return line


def rows_of(source: Path) -> list[tuple[object, ...]]:
    """The rows of a learning database."""
    with duckdb.connect(str(source), read_only=True) as con:
        return con.execute("FROM executions ORDER BY timestamp, task_id").fetchall()


def test_the_files_and_the_statements(source: Path) -> None:
    """The SQL alone is on stdout, so that it can be piped; the rest is about it."""
    rows = rows_of(source)
    ended = archive(source)
    folder = source.parent / "home" / "archive"
    files = [folder / name for name in FILES]
    assert ended.returncode == 0
    assert sorted(folder.iterdir()) == files
    size = sum(file.stat().st_size for file in files) / 1e6
    assert ended.stderr.splitlines() == [
        "warning: the summaries do not hold all of these rows (nothing is published in"
        f" {source.parent}/home/published): run dbmon refresh --full before you delete them",
        f"3 rows before 2026-03-02 are in 2 files of {size:.1f} MB in {folder}",
    ]
    lines = ended.stdout.splitlines()
    assert lines[0] == f"-- W{ended.stderr.splitlines()[0][1:]}."
    assert lines[1] == "-- Deletes 3 rows, or none if there are more or fewer by now."
    assert ended.stdout.rstrip().endswith("CHECKPOINT;")
    assert rows_of(source) == rows
    change_source(source, ended.stdout)
    assert rows_of(source) == rows[3:]
    again = archive(source)
    assert (again.returncode, again.stdout) == (0, "")
    assert again.stderr == f"{source} has no rows before 2026-03-02 to archive\n"
    assert sorted(folder.iterdir()) == files


def test_json(source: Path, tmp_path: Path) -> None:
    """The same for programs, also the second time."""
    add_rows(source, [{"task_id": "timeless"}])
    out = tmp_path / "deep" / "er"
    answers = [archive(source, "--out", out, "--json") for _ in range(2)]
    first, second = (json.loads(ended.stdout) for ended in answers)
    assert first["files"] == [
        {
            "path": str(out / name),
            "rows": rows,
            "size_bytes": (out / name).stat().st_size,
            "is_new": True,
        }
        for name, rows in zip(FILES, (2, 1), strict=True)
    ]
    assert [file["is_new"] for file in second["files"]] == [False, False]
    assert answers[1].stderr.splitlines()[-1].endswith("; 2 of them had been written before")
    assert (first["source"], first["before"], first["rows"]) == (str(source), BEFORE, 3)
    assert (first["read_as"], first["rows_without_timestamp"]) == ("live", 1)
    assert first["warnings"][1] == "1 rows without a timestamp stay"
    assert first["delete_sql"] == second["delete_sql"]
    change_source(source, first["delete_sql"])
    assert len(rows_of(source)) == 3
    empty = archive(source, "--json", before="2020-01-01")
    assert (json.loads(empty.stdout)["files"], empty.returncode) == ([], 0)
    assert json.loads(empty.stdout)["delete_sql"] is None


@pytest.mark.parametrize(
    ("before", "words"),
    [
        ("2999-01-01", "2999-01-01 lies in the future (it is 20"),
        ("last month", "'last month' is not a date: write --before as in 2026-03-15"),
        ("2026-02-30", "'2026-02-30' is not a date"),
        ("", "'' is not a date"),
    ],
)
def test_a_day_that_cannot_be(source: Path, before: str, words: str) -> None:
    """One line, and nothing is made."""
    assert words in refusal(archive(source, before=before))
    assert not (source.parent / "home").exists()


def test_a_folder_that_cannot_be_written(source: Path, tmp_path: Path) -> None:
    """It is named; so is a file where the folder should be."""
    out = tmp_path / "theirs"
    out.mkdir(mode=0o555)
    line = refusal(archive(source, "--out", out, first=DROP_PRIVILEGES))
    assert f"{out} cannot be written or read ([Errno 13] Permission denied" in line
    assert "check the disk and the permissions" in line
    out.chmod(0o755)
    file = tmp_path / "file"
    file.write_text("precious")
    assert f"{file} cannot be written" in refusal(archive(source, "--out", file))
    assert file.read_text() == "precious"


def test_a_source_that_cannot_be_read(source: Path) -> None:
    """As for a refresh."""
    source.unlink()
    assert "does not exist: name the learning.db" in refusal(archive(source))
    assert not (source.parent / "home" / "archive").exists()


def make_large(source: Path) -> None:
    """Give the source 20 000 rows more in February, whose texts do not compress."""
    change_source(
        source,
        """
        INSERT INTO executions (task_id, timestamp, success, duration_seconds, metadata)
        SELECT
            n, $start - n * INTERVAL 60 SECOND, false, n,
            to_json((SELECT string_agg(hash(n * 10 + i), '') FROM range(10) AS r (i)))
        FROM range(20000) AS s (n)
        """,
        start=AT,
    )


def test_a_full_disk(source: Path) -> None:
    """A limit on the size of files gives a real failure of a write; no part of a file stays."""
    make_large(source)
    full = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))"
    )
    line = refusal(archive(source, first=full))
    assert "executions_2026-02.parquet cannot be written or read (" in line
    assert "free some space on that disk and repeat" in line
    assert not (source.parent / "home" / "archive").exists()
    assert archive(source).returncode == 0


@pytest.mark.parametrize("seconds", [0, 0.05])
def test_a_kill(source: Path, seconds: float) -> None:
    """After kill -9 each file is whole or not there, and the next archive is complete."""
    make_large(source)
    rows = rows_of(source)
    folder = source.parent / "home" / "archive"
    command = dbmon_command(
        *("archive", "--before", BEFORE, "--source", source, "--home", folder.parent)
    )
    with subprocess.Popen(
        command, env=clean_environ(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 60
        while not list(folder.glob(".archiving/executions_*")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    for file in folder.glob("*.parquet"):
        [(count,)] = duckdb.execute(f"SELECT count(*) FROM '{file}'").fetchall()
        assert count == (20_002 if file.name == FILES[0] else 1)
    assert archive(source).returncode == 0
    assert sorted(path.name for path in folder.iterdir()) == FILES
    archived = duckdb.execute(f"FROM '{folder}/*.parquet' ORDER BY timestamp, task_id").fetchall()
    assert len(archived) == 20_003
    assert archived == rows[: len(archived)]
