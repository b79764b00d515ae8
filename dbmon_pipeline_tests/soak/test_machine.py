"""A hundred steps of owner and pipeline in any order; ``make soak`` has five thousand."""

from __future__ import annotations

import pytest

from dbmon_pipeline_tests.soak.machine import STEPS_IN_A_HOME, take_steps


@pytest.mark.parametrize("seed", range(1, 1 + 100 // STEPS_IN_A_HOME))
def test_what_is_published_stays_right(seed: int) -> None:
    """After each refresh and kill."""
    take_steps(STEPS_IN_A_HOME, seed)
