"""Homes with a real Dagster instance, and a clock that stands still."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dbmon_pipeline_tests.orchestration.site import Site, open_site


@pytest.fixture
def site(tmp_path: Path, empty_template: Path) -> Iterator[Site]:
    """A home of the test's own, and no source yet."""
    with open_site(tmp_path / "site", empty_template) as made:
        yield made


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory: pytest.TempPathFactory, empty_template: Path) -> Iterator[Site]:
    """A home that the tests of a module share and do not change."""
    with open_site(tmp_path_factory.mktemp("shared") / "site", empty_template) as made:
        yield made
