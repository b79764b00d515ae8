"""What every test run says of itself, and where its files lie."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import duckdb

_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - a place to look for, not a file
_ROOM = 4e9


def pytest_configure() -> None:
    """Keep temporary files in memory if there is room: tests wait for the disk most of the time."""
    if _IN_MEMORY.is_dir() and shutil.disk_usage(_IN_MEMORY).free > _ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_IN_MEMORY))


def pytest_report_header() -> str:
    """The DuckDB that is tested: the suite runs on two."""
    return f"duckdb {duckdb.__version__}"
