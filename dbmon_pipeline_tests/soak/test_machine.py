"""Three hundred steps of owner and pipeline in any order."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from dbmon_pipeline_tests.soak.machine import Monitored


def test_what_is_published_stays_right() -> None:
    """After each refresh and kill; the steps compare, and not nothing with nothing."""
    before = Monitored.compared
    run_state_machine_as_test(
        Monitored,
        settings=settings(
            max_examples=6,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.reuse, Phase.generate],  # To shrink would take minutes.
        ),
    )
    assert Monitored.compared - before > 1000
