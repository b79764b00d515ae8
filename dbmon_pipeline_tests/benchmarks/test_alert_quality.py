"""The bench of the alerts judges what a real reader of the same executions would."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from dbmon_pipeline.core.config import MonitoringConfig
from dbmon_pipeline.core.evaluate import evaluate
from dbmon_pipeline.core.instants import HOUR
from dbmon_pipeline.core.rules import Alert, Measured, Verdict
from dbmon_pipeline.core.settings import Settings
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
from dbmon_pipeline_tests.core.judging import by_scope, evaluated, site
from dbmon_pipeline_tests.helpers import execution

BEGIN = MONDAY + timedelta(days=1, hours=10, minutes=20)
"""When all that can goes wrong, in working hours."""
START = MONDAY - timedelta(weeks=4)
WRONG = Incident(name="all", lasting=3 * HOUR, success=0.2, tiers=2, cost=3)
RULES = {
    f"{name} {mode}": rule_of(name, mode) for name, line in LINES.items() for mode in line.modes
}


def rows(traffic: Executions, start: datetime, successes: np.ndarray) -> list[dict[str, object]]:
    """Executions as a database has them, each somewhere in its step."""
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
        (traffic, at, traffic.succeed(0.92, incident))
        for at, lasting, incident in (
            (START, BEGIN - START, None),
            (BEGIN, 4 * HOUR, WRONG),
        )
        for traffic in [simulate(rng, at, lasting, 12, incident)]
    ]
    folder: Path = tmp_path_factory.mktemp("traffic")
    made = [row for traffic, at, successes in parts for row in rows(traffic, at, successes)]
    simulated = Simulated(START, *(traffic.measures(good) for traffic, _, good in parts))
    return simulated, site(folder, made, RULES, None)


@pytest.mark.parametrize("after", [-30 * HOUR, 0 * HOUR, 45 * HOUR / 60, 2.25 * HOUR, 4 * HOUR])
def test_made_up_traffic_is_judged_as_a_database_is(
    both: tuple[Simulated, Settings], after: timedelta
) -> None:
    """Every rule that is tried says the same of the same figures, at night, before and during."""
    simulated, settings = both
    simulated.speak_for(BEGIN + after)
    found = by_scope(evaluate(simulated, MonitoringConfig(rules=RULES)))
    want = evaluated("database", settings, BEGIN + after)
    assert {key: close(alert) for key, alert in found.items()} == want
    assert {rule for rule, _ in want} == RULES.keys()


def test_what_is_compared_has_something_to_say(both: tuple[Simulated, Settings]) -> None:
    """In the incident most rules are beyond a limit; a day before, none that is meant for 92 %."""
    told = {
        after: {
            rule.split()[0]
            for (rule, _), alert in evaluated("database", both[1], BEGIN + after).items()
            if alert.verdict in (Verdict.WARNING, Verdict.CRITICAL)
        }
        for after in (-24 * HOUR, 2.25 * HOUR)
    }
    assert told[-24 * HOUR] <= {"error_rate", "success_slo"}  # Those that want 98 %.
    assert told[2.25 * HOUR] >= {"success_rate", "error_rate", "anomaly"}


def close(alert: Alert) -> Alert:
    """Nearly an alert: sums of floats depend on their order."""
    return replace(alert, measured=nearly(alert.measured), raw=nearly(alert.raw))


def nearly(measured: Measured) -> Measured:
    """Nearly a measurement."""
    figures = {
        name: pytest.approx(value, rel=1e-6)
        for name in ("value", "best")
        if (value := getattr(measured, name)) is not None
    }
    return replace(measured, **figures)
