"""What every test run says of itself, and where its files lie."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import duckdb
import pytest

from dbmon_pipeline.core.home.home import Home

_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - a place to look for, not a file
_ROOM = 4e9


def pytest_configure() -> None:
    """Keep temporary files in memory if there is room: tests wait for the disk most of the time."""
    if _IN_MEMORY.is_dir() and shutil.disk_usage(_IN_MEMORY).free > _ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_IN_MEMORY))


def pytest_report_header() -> str:
    """The DuckDB that is tested: the suite runs on two."""
    return f"duckdb {duckdb.__version__}"


@pytest.fixture(scope="session")
def empty_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a home that has run nothing; to make its instance takes seconds."""
    from dbmon_pipeline.orchestration.instance import open_instance  # It brings all of Dagster.

    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", "")
        with open_instance(Home(folder / "home")) as instance:
            assert instance.get_runs_count() == 0
    return folder
