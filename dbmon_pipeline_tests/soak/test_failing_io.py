"""Forty file operations of refreshes that fail; ``make soak`` has all of them fail."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from dbmon_pipeline_tests.helpers import clean_environ
from dbmon_pipeline_tests.soak.failing_io import FailingIo
from dbmon_pipeline_tests.soak.failures import fail_and_heal


def test_the_generation_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    """And the next refresh is right, and nothing is left over."""
    figures = fail_and_heal(tmp_path / "site", seed=40, sample=40)
    assert figures.problems == []
    assert sum(figures.failed.values()) > 30
    assert figures.told > 10
    assert min(figures.operations) > 120


OPERATIONS = """
import os, sys
import duckdb
os.chdir(sys.argv[1])
def attempt(operation):
    try:
        operation()
    except (OSError, duckdb.Error) as error:
        print(type(error).__name__, getattr(error, "errno", "Input/output error" in str(error)))
with open("note", "w") as note:
    attempt(lambda: os.write(note.fileno(), b"x"))
    attempt(lambda: os.fsync(note.fileno()))
attempt(lambda: os.rename("note", "other"))
folder = os.open(".", os.O_RDONLY)
attempt(lambda: os.unlink("other", dir_fd=folder))
os.write(1, b"")
open("/dev/null", "w").close()
attempt(lambda: duckdb.execute("COPY (SELECT 1) TO 'one.parquet'"))
"""
"""Five operations from Python below a folder, two that are not below it, and some of DuckDB."""


@pytest.mark.parametrize(
    ("number", "name", "said"),
    [
        (2, "write", f"OSError {errno.EIO}"),
        (4, "rename", f"OSError {errno.EIO}"),
        (5, "unlinkat", f"OSError {errno.EIO}"),
        (6, "open", "IOException True"),
        (8, "pwrite", "IOException True"),
    ],
)
def test_which_operation_fails(tmp_path: Path, number: int, name: str, said: str) -> None:
    """Operations of Python and DuckDB are counted alike, below the folder only."""
    failing = FailingIo(tmp_path)
    folder = tmp_path / "folder"
    folder.mkdir()
    failing.count_below(folder, fail_at=number, error=errno.EIO)
    result = subprocess.run(
        [sys.executable, "-c", OPERATIONS, folder],
        env=clean_environ(**failing.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    failed = failing.stop().failed
    assert failed.split()[0].removesuffix("64") == name, result.stderr
    assert result.stdout.splitlines()[0] == said, result.stderr
