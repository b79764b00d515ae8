"""A hundred steps of owner and pipeline in any order; ``make soak`` has five thousand."""

from __future__ import annotations

from pathlib import Path

import pytest

from dbmon_pipeline.core.home.locks import glance
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline_tests.helpers import published_rows
from dbmon_pipeline_tests.soak.machine import STEPS_IN_A_HOME, Machine


@pytest.mark.parametrize("seed", range(1, 1 + 300 // STEPS_IN_A_HOME))
def test_what_is_published_stays_right(seed: int, tmp_path: Path) -> None:
    """After each refresh and kill; in the end nothing is left of those that were killed."""
    machine = Machine(tmp_path, seed)
    try:
        machine.play(STEPS_IN_A_HOME)
    finally:
        machine.close()
    home = machine.settings.home
    manifest = Published(home).manifest
    assert manifest.as_of == manifest.data_through == machine.now
    assert manifest.executions == len(machine.model.rows()) > 0
    refreshes = [line for line in machine.log if line.startswith("refresh ")]
    history = published_rows(machine.settings, "refresh_history")
    assert {f"{row['as_of']}" for row in history} >= {line.split(" {")[0][8:] for line in refreshes}
    assert manifest.generation >= len(refreshes) > 0
    assert machine.kills <= len([line for line in machine.log if line.startswith("kill ")])
    kept = sorted(path.name for path in home.generations.iterdir())
    assert len(kept) <= machine.settings.config.keep.generations
    assert home.generation.name == kept[-1] == f"{manifest.generation:06d}"
    assert {path.name for path in home.published.iterdir()} == {"current", "generations"}
    with glance(home.lock) as is_held:
        assert not is_held
