"""The bench of the alerts judges what a real reader of the same executions would."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from dbmon_pipeline.core.alerting.evaluate import evaluate
from dbmon_pipeline.core.alerting.verdicts import Alert, Measured, Verdict
from dbmon_pipeline.core.common.instants import HOUR
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline_tests.benchmarks.alert_quality.traffic import (
    MONDAY,
    STEP,
    TIERS,
    Executions,
    Incident,
    Simulated,
    simulate,
)
from dbmon_pipeline_tests.benchmarks.alert_quality.trials import LINES, rule_of
from dbmon_pipeline_tests.core.alerting.judging import Row, by_scope, evaluated, site
from dbmon_pipeline_tests.helpers import execution

BEGIN = MONDAY + timedelta(days=1, hours=10, minutes=20)
"""When all that can goes wrong, in working hours."""
START = MONDAY - timedelta(weeks=3)
WRONG = Incident(name="wrong", lasting=3 * HOUR, success=0.2, tiers=2, cost=3)
SILENT = Incident(name="silent", lasting=2 * HOUR, is_silent=True)
RULES = {
    f"{name} {mode}": rule_of(name, mode) for name, line in LINES.items() for mode in line.modes
}


def rows(traffic: Executions, start: datetime, incident: Incident | None) -> list[Row]:
    """Executions as a database has them, each somewhere in its step."""
    successes = traffic.succeed(0.92, incident)
    moments = np.random.default_rng(5).random(len(successes))
    return [
        execution(
            start + (int(traffic.step[n]) + float(moments[n]) * 0.999) * STEP,
            model_tier=TIERS[traffic.tier[n]],
            success=bool(successes[n]),
            error_type=None if successes[n] else "TimeoutError",
            duration_seconds=float(traffic.seconds[n]),
            cost_estimate=float(traffic.estimate[n]),
            actual_cost=float(traffic.cost[n]),
        )
        for n in range(len(successes))
    ]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Simulated, Settings]:
    """The same executions as the bench has them, and in a real database."""
    rng = np.random.default_rng(4)
    parts = [
        (simulate(rng, at, lasting, 30, incident), at, incident)
        for at, lasting, incident in (
            (START, BEGIN - START, None),
            (BEGIN, 4 * HOUR, WRONG),
            (BEGIN + 4 * HOUR, 3 * HOUR, SILENT),
        )
    ]
    made = [row for part in parts for row in rows(*part)]
    simulated = Simulated(START, *(traffic.measures(0.92, wrong) for traffic, _, wrong in parts))
    return simulated, site(tmp_path_factory.mktemp("traffic"), made, RULES, None)


@pytest.mark.parametrize("hours", [-30, 0, 0.75, 2.25, 4, 5.5, 7])
def test_made_up_traffic_is_judged_as_a_database_is(
    both: tuple[Simulated, Settings], hours: float
) -> None:
    """Every rule that is tried says the same of the same figures, at night, before and during."""
    simulated, settings = both
    after = BEGIN + hours * HOUR
    simulated.speak_for(after)
    found = by_scope(evaluate(simulated, MonitoringConfig(rules=RULES)))
    want = evaluated("database", settings, after)
    assert {key: close(alert) for key, alert in found.items()} == want
    assert {rule for rule, _ in want} == RULES.keys()


def test_what_is_compared_has_something_to_say(both: tuple[Simulated, Settings]) -> None:
    """While things go wrong rules are beyond a limit; a day before, none that is meant for 92 %."""
    told = {
        hours: {
            rule.split()[0]
            for (rule, _), alert in evaluated("database", both[1], BEGIN + hours * HOUR).items()
            if alert.verdict in (Verdict.WARNING, Verdict.CRITICAL)
        }
        for hours in (-24, 2.25, 5.5)
    }
    assert told[-24] <= {"error_rate", "success_slo"}  # Those that want 98 %.
    assert told[2.25] >= {"success_rate", "error_rate", "anomaly"}
    assert "recent_executions" in told[5.5]


def close(alert: Alert) -> Alert:
    """Nearly an alert: sums of floats depend on their order."""
    return replace(alert, measured=_close(alert.measured), raw=_close(alert.raw))


def _close(measured: Measured) -> Measured:
    return replace(measured, value=_nearly(measured.value), best=_nearly(measured.best))


def _nearly(value: float | None) -> Any:
    return None if value is None else pytest.approx(value, rel=1e-6)
