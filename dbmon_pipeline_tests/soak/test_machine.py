"""Three hundred steps of owner and pipeline in any order."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

from dbmon_pipeline_tests.soak.machine import Monitored

TestMonitored = Monitored.TestCase
TestMonitored.settings = settings(
    max_examples=6,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # To shrink would take minutes.
)
