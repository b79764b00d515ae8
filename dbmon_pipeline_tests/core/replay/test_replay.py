"""Replaying the rules: what it finds is what has happened."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from dbmon_pipeline.core.common.errors import NotPublishedError
from dbmon_pipeline.core.common.instants import DAY, HOUR
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.config.rule import Limits, Rule, Severity
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.incidents.incident import IncidentState
from dbmon_pipeline.core.incidents.observe import observe_published
from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.replay.proposed_limits import propose_limits
from dbmon_pipeline.core.replay.replay import Replay, RuleReplay, replay
from dbmon_pipeline_tests.helpers import (
    Row,
    add_rows,
    execution,
    make_source,
    refresh_core,
    settings_for,
)

NOON = datetime.fromisoformat("2026-02-10T12:00")
MINUTE = timedelta(minutes=1)
RATE = Rule(below=Limits(warning=0.85, critical=0.70), recovery=0.01)
BY_TIER = msgspec.structs.replace(RATE, measurement="success_rate", by="model_tier", evaluations=1)


def _settings(folder: Path, **rules: Rule) -> Settings:
    return settings_for(folder, rules=rules)


def _traffic(start: datetime, end: datetime, bad: tuple[datetime, datetime]) -> list[Row]:
    """Two executions a minute; while it is bad, those of one tier fail."""
    minutes = int((end - start) / MINUTE)
    return [
        execution(
            start + n * MINUTE + timedelta(seconds=10 + 20 * k),
            model_tier=tier,
            success=not (tier == "large" and bad[0] <= start + n * MINUTE < bad[1]),
        )
        for n in range(minutes)
        for k, tier in enumerate(("large", "small"))
    ]


def _replayed(settings: Settings, since: datetime, until: datetime) -> Replay:
    with Published(settings.home) as published:
        return replay(published, settings.config, since, until)


def test_it_finds_what_has_happened(tmp_path: Path) -> None:
    """The incidents that really opened when it was refreshed every five minutes, to the minute."""
    start, bad = NOON - 3 * HOUR, (NOON - HOUR, NOON - 25 * MINUTE)
    settings = _settings(tmp_path, success_rate=RATE, tiers=BY_TIER)
    make_source(settings.source)
    rows = _traffic(start, NOON + 35 * MINUTE, bad)
    with Incidents(
        settings.home.incidents, notifications=settings.config.notifications
    ) as incidents:
        at = start
        while at < NOON + 35 * MINUTE:
            later = at + 5 * MINUTE
            add_rows(settings.source, [r for r in rows if at <= _timestamp(r) < later])
            at = later
            if at >= bad[0] + 10 * MINUTE:
                refresh_core(settings, at)
                with Published(settings.home) as published:
                    observe_published(incidents, published, settings.config)
        happened = [
            (one.finding.rule, one.finding.scope, one.worst, one.opened_at, one.resolved_at)
            for one in incidents.history(None, 100)
            if one.state is not IncidentState.PENDING
        ]
    found = _replayed(settings, start, at)
    assert (found.fine_from, found.end) == (found.start, at)
    episodes = [
        (
            one.rule,
            one.scope,
            one.severity,
            # It is pending for the first of two evaluations.
            one.fired_at - (settings.config.rules[one.rule].evaluations - 1) * 5 * MINUTE,
            one.resolved_at,
        )
        for rule in found.rules
        for one in rule.episodes
    ]
    assert sorted(episodes) == sorted(happened)
    assert {(rule, scope) for rule, scope, *_ in episodes} == {
        ("success_rate", "all"),
        ("tiers", "large"),
    }


def _timestamp(row: Row) -> datetime:
    at = row["timestamp"]
    assert isinstance(at, datetime)
    return at


@pytest.fixture(scope="module")
def long_ago(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Ten days, with six bad hours a week ago and nothing for the last half of a day."""
    rules = {"success_rate": RATE, "slow_executions": Rule(above=Limits(warning=0.1))}
    sizes = {"database_size": Rule(above=Limits(warning=500))}
    settings = _settings(tmp_path_factory.mktemp("long"), **rules, **sizes)
    bad = (NOON - 7 * DAY, NOON - 7 * DAY + 6 * HOUR)
    make_source(settings.source, _traffic(NOON - 8 * DAY, NOON - 6.5 * DAY, bad))
    add_rows(settings.source, _traffic(NOON - DAY, NOON - DAY / 2, (NOON, NOON)))
    refresh_core(settings, NOON)
    return settings


def test_it_looks_every_hour_at_what_lies_longer_ago(long_ago: Settings) -> None:
    """Two evaluations five minutes apart are over before the next hour: one is enough."""
    found = _replayed(long_ago, datetime.min, NOON)
    assert found.start == NOON - 8 * DAY + HOUR
    assert found.fine_from == NOON - (12 + 48 - 1) * HOUR + 5 * MINUTE  # midnight two days before
    assert found.end == NOON
    [rate] = [one for one in found.rules if one.rule == "success_rate"]
    [episode] = rate.episodes
    assert (episode.scope, episode.severity) == ("all", Severity.CRITICAL)
    assert episode.fired_at == NOON - 7 * DAY + HOUR
    assert episode.resolved_at == NOON - 7 * DAY + 7 * HOUR
    assert rate.durations(found.end) == [6 * HOUR]
    assert episode.summary.startswith("success rate is 50.0% of 120 executions, below the limit")


def test_its_parts_of_the_time_are_brute_force(long_ago: Settings) -> None:
    """Beyond a limit for six of the hours that could be judged: up to a day after executions."""
    found = _replayed(long_ago, datetime.min, NOON)
    [rate] = [one for one in found.rules if one.rule == "success_rate"]
    judged = 36 * HOUR + 23 * HOUR + 24 * HOUR
    assert rate.share_beyond_limit == 6 * HOUR / judged
    assert rate.unknown == pytest.approx(1 - judged / (8 * DAY))
    assert rate.usual == 1.0


def test_what_is_not_known_of_the_past(long_ago: Settings) -> None:
    """Sizes are left out; slow executions are those that are published."""
    found = _replayed(long_ago, datetime.min, NOON - 2 * DAY)
    assert found.left_out == ("database_size",)
    assert [one.rule for one in found.rules] == ["success_rate", "slow_executions"]
    [_, slow] = found.rules
    assert (slow.unknown, slow.episodes, slow.usual) == (1.0, (), None)


def test_an_incident_that_is_not_over(long_ago: Settings) -> None:
    """It has no end, and lasts to the end of the replay."""
    end = NOON - 7 * DAY + 3 * HOUR
    found = _replayed(long_ago, datetime.min, end)
    [episode] = found.rules[0].episodes
    assert episode.resolved_at is None
    assert found.rules[0].durations(found.end) == [2 * HOUR]


def test_nothing_in_between(long_ago: Settings) -> None:
    """A range that ends before it begins is told, with where executions begin."""
    with pytest.raises(NotPublishedError, match="executions begin at 2026-02-02T12:00:00Z"):
        _replayed(long_ago, NOON, NOON - DAY)


def test_flaps_are_counted(tmp_path: Path) -> None:
    """An incident that opens within six hours of the end of the last one, of the same scope."""
    rules = {"success_rate": msgspec.structs.replace(RATE, mode="raw", evaluations=1)}
    settings = _settings(tmp_path, **rules)
    bad_hours = {1, 4, 20}  # The second one three hours after the first, the third much later.
    rows = [
        execution(NOON - 5 * DAY + hour * HOUR + n * MINUTE, success=hour not in bad_hours)
        for hour in range(30)
        for n in range(0, 60, 5)
    ]
    make_source(settings.source, rows)
    refresh_core(settings, NOON)
    found = _replayed(settings, datetime.min, NOON)
    assert [one.fired_at for one in found.rules[0].episodes] == [
        NOON - 5 * DAY + (hour + 1) * HOUR for hour in sorted(bad_hours)
    ]
    assert found.rules[0].flaps == 1


def _said(usual: float | None, share: float, name: str = "success_rate") -> RuleReplay:
    return RuleReplay(
        rule=name, episodes=(), flaps=0, share_beyond_limit=share, unknown=0, usual=usual
    )


@pytest.mark.parametrize(
    ("measurement", "usual", "limits"),
    [
        # At half and a fifth of the odds: 0.2 / 0.8 = 1 / 4, so 1 / 8 and 1 / 20.
        ("success_rate", 0.2, {"below": {"warning": 0.11, "critical": 0.048}}),
        # At twice and five times the odds: 4, so 8 and 20.
        ("error_rate", 0.8, {"above": {"warning": 0.89, "critical": 0.95}}),
        ("cost_drift", 2.0, {"above": {"warning": 3.0, "critical": 6.0}}),
        ("success_rate", 0.0, None),
        ("error_rate", 1.0, None),
        ("recent_executions", 3.0, None),
        ("success_rate", None, None),
    ],
)
def test_limits_that_fit(
    measurement: str, usual: float | None, limits: dict[str, dict[str, float]] | None
) -> None:
    """By the odds of a rate, by a multiple of others; nothing where no limit would help."""
    config = _shipped_like()
    said = _said(usual, 0.6, measurement)
    assert propose_limits([said], config.rules) == ({measurement: limits} if limits else {})
    assert propose_limits([_said(usual, 0.5, measurement)], config.rules) == {}


def _shipped_like() -> MonitoringConfig:
    above = Rule(above=Limits(warning=0.1, critical=0.25))
    return MonitoringConfig(
        rules={
            "success_rate": RATE,
            "error_rate": above,
            "cost_drift": above,
            "recent_executions": Rule(below=Limits(warning=1)),
        }
    )


def test_only_the_limits_that_a_rule_has(tmp_path: Path) -> None:
    """A rule that only warns still only warns; and with the proposal it is calm."""
    rule = Rule(below=Limits(warning=0.85))
    settings = _settings(tmp_path, success_rate=rule)
    rows = [execution(NOON - n * MINUTE, success=n % 5 == 0) for n in range(1, 600)]
    make_source(settings.source, rows)
    refresh_core(settings, NOON)
    before = _replayed(settings, datetime.min, NOON)
    assert before.rules[0].share_beyond_limit > 0.9
    limits = propose_limits(before.rules, settings.config.rules)
    assert limits == {"success_rate": {"below": {"warning": 0.11}}}
    calm = {"success_rate": msgspec.convert(limits["success_rate"], Rule)}
    config = msgspec.structs.replace(settings.config, rules=calm)
    with Published(settings.home) as published:
        after = replay(published, config, datetime.min, NOON)
    assert (after.rules[0].share_beyond_limit, after.rules[0].episodes) == (0, ())
