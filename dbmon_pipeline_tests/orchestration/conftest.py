"""A home with a real Dagster instance, and a clock that stands still."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from dbmon_pipeline.core.settings import Home
from dbmon_pipeline.orchestration.instance import opened
from dbmon_pipeline_tests.orchestration.site import Clock, Site

MakeSite = Callable[[], Site]


@pytest.fixture(scope="session")
def dagster_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instance that the product made and that has run nothing: making one takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", "")
        home = Home(tmp_path_factory.mktemp("template"))
        with opened(home) as instance:
            assert instance.get_runs_count() == 0
    return home.dagster


@contextmanager
def _site(folder: Path, template: Path) -> Iterator[Site]:
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        source, home = folder / "learning.db", Home(folder / "home")
        patch.setenv("DBMON_SOURCE", str(source))
        patch.setenv("DBMON_HOME", str(home.path))
        patch.delenv("DBMON_CONFIG", raising=False)
        patch.setenv("DAGSTER_HOME", "")
        clock = Clock()
        clock.install(patch)
        shutil.copytree(template, home.dagster)
        yield Site(source, home, clock, patch, stack.enter_context(opened(home)))


@pytest.fixture
def site(tmp_path: Path, dagster_template: Path) -> Iterator[Site]:
    """A home of the test's own."""
    with _site(tmp_path, dagster_template) as made:
        yield made


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory: pytest.TempPathFactory, dagster_template: Path) -> Iterator[Site]:
    """A home that the tests of a module share and do not change."""
    with _site(tmp_path_factory.mktemp("shared"), dagster_template) as made:
        yield made
