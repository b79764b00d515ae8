"""A store of incidents, for the tests of each of its modules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline_tests.core.incidents.rounds import EVERYBODY


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Incidents]:
    """A new store with one target."""
    with Incidents(tmp_path / "deep" / "incidents.sqlite", notifications=EVERYBODY) as opened:
        yield opened
