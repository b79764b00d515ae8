"""The past in memory answers as a reader of the same generation does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from dbmon_pipeline.core.alerting.evaluate import evaluate
from dbmon_pipeline.core.alerting.verdicts import Alert
from dbmon_pipeline.core.common.errors import NotPublishedError
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.config.rule import Dimension, Limits, Rule
from dbmon_pipeline.core.learning_db.sample import Scenario, make_sample
from dbmon_pipeline.core.query.open_reader import reading
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.core.replay.past import Past
from dbmon_pipeline_tests.helpers import make_source, refresh_core, settings_for

AS_OF = datetime.fromisoformat("2026-02-10T13:37:21")
FIRST_FINE = datetime.fromisoformat("2026-02-08")
RECENT = [datetime.fromisoformat(f"2026-02-{at}") for at in ("10T13:35", "10T09:05", "09T20:50")]
LONG_AGO = [datetime.fromisoformat(f"2026-0{at}:00") for at in ("2-05T17", "1-30T00", "1-22T03")]
OF_ROWS = {"slow_executions", "cost_drift"}
"""Measurements that differ where the executions themselves are no longer published."""


def _rule(measurement: str, by: Dimension | None, limits: Limits, mode: str) -> Rule:
    given = {"measurement": measurement, "by": by, "mode": mode, "target_seconds": 60}
    side = "below" if measurement in ("success_rate", "recent_executions") else "above"
    return msgspec.convert({**given, side: msgspec.to_builtins(limits)}, Rule)


@pytest.fixture(scope="module")
def config() -> MonitoringConfig:
    """Every measurement that the past has, by every dimension that it has, in both modes."""
    limits = Limits(warning=0.5)
    rules = {
        f"{measurement} by {by} {mode}": _rule(measurement, by, limits, mode)
        for measurement in ("success_rate", "error_rate", "slow_executions", "cost_drift")
        for by in (None, "model_tier", "repo")
        for mode in ("confident", "raw")
    }
    for measurement in ("recent_executions", "anomaly", "cost_budget"):
        rules[measurement] = _rule(measurement, None, limits, "confident")
    rules["success_slo"] = Rule(measurement="success_slo", target=0.95)
    return MonitoringConfig(rules=rules)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """Three weeks, at the end of which one tier fails."""
    settings = settings_for(tmp_path_factory.mktemp("past"), rules={})
    make_sample(
        settings.source,
        rows=6000,
        days=21,
        end=AS_OF,
        seed=5,
        scenario=Scenario.INCIDENT,
        embeddings=False,
    )
    refresh_core(settings, AS_OF)
    with Published(settings.home) as opened:
        yield opened


@pytest.fixture(scope="module")
def past(published: Published) -> Past:
    """The past of all of it."""
    return Past(published, datetime.min)


def _told(alerts: list[Alert]) -> list[object]:
    """The alerts; sums of floating-point numbers may differ in their last bits."""

    def close(value: float | None) -> object:
        return None if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)

    return [
        (
            alert.rule,
            alert.scope,
            alert.verdict,
            alert.raw_verdict,
            alert.is_recovered,
            *(
                replace(one, value=close(one.value), best=close(one.best))  # type: ignore[arg-type]
                for one in (alert.measured, alert.raw)
            ),
        )
        for alert in sorted(alerts, key=lambda one: (one.rule, one.scope))
    ]


@pytest.mark.parametrize("at", [*RECENT, *LONG_AGO])
def test_alerts_are_those_of_a_reader(
    published: Published, past: Past, config: MonitoringConfig, at: datetime
) -> None:
    """Verdicts, values, samples and windows, of every rule and scope."""
    past.speak_for(at)
    past.begin(at)
    found = evaluate(past, config)
    with reading(published, at) as reader:
        expected = evaluate(reader, config)
    if at < FIRST_FINE:
        found, expected = (
            [alert for alert in alerts if alert.measurement not in OF_ROWS]
            for alerts in (found, expected)
        )
    assert len(expected) > 20
    assert len({alert.verdict for alert in expected}) > 1
    assert _told(found) == _told(expected)


@pytest.mark.parametrize("at", [*RECENT, *LONG_AGO])
@pytest.mark.parametrize("time_range", [TimeRange.HOUR, TimeRange.WEEK])
def test_samples_are_those_of_a_reader(
    published: Published, past: Past, at: datetime, time_range: TimeRange
) -> None:
    """How many executions a range has."""
    past.speak_for(at)
    with reading(published, at) as reader:
        assert past.samples(time_range) == reader.samples(time_range)
        assert past.samples(time_range) > 0


def test_slow_executions_of_long_ago_are_unknown(past: Past, config: MonitoringConfig) -> None:
    """Rather than those of the part of the window that is published."""
    past.speak_for(LONG_AGO[0])
    found = [one for one in evaluate(past, config) if one.measurement == "slow_executions"]
    assert [(one.scope, one.measured.value, one.measured.samples) for one in found] == [
        ("all", None, 0),
        ("all", None, 0),
    ]


def test_what_is_counted_ends_with_the_instant(past: Past) -> None:
    """What was executed later does not count for an earlier instant."""
    counts = []
    for at in (past.first, *reversed(LONG_AGO), *reversed(RECENT)):
        past.speak_for(at)
        counts.append(past.about.executions)
    assert counts[0] == 0
    assert counts == sorted(counts)
    assert len(set(counts)) == len(counts)
    assert counts[-1] < 6000


def test_troubled_hours_are_remembered(past: Past, config: MonitoringConfig) -> None:
    """The hours in which a rule was beyond a limit, from the moment that it was."""
    at = LONG_AGO[0]
    past.begin(at)
    past.speak_for(at)
    assert past.hours_beyond_limit(datetime.min, datetime.max) == frozenset()
    past.remember(evaluate(past, config))
    hour = at - timedelta(hours=1)
    assert past.hours_beyond_limit(hour, datetime.max) == {hour}
    assert past.hours_beyond_limit(hour + timedelta(hours=1), datetime.max) == frozenset()


def test_there_is_no_past_of_nothing(tmp_path: Path) -> None:
    """A generation without executions is told."""
    settings = settings_for(tmp_path, rules={})
    make_source(settings.source)
    refresh_core(settings, AS_OF)
    with (
        Published(settings.home) as opened,
        pytest.raises(NotPublishedError, match="there are no executions"),
    ):
        Past(opened, datetime.min)
