"""Watching the rules: each published evaluation is taken in once, in order, and none is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from dataclasses import replace as with_values
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from dbmon_pipeline.core.alerting.check_history import published_since
from dbmon_pipeline.core.alerting.verdicts import Verdict
from dbmon_pipeline.core.config.monitoring import Keep, MonitoringConfig
from dbmon_pipeline.core.config.notifications import Notifications, TargetConfig
from dbmon_pipeline.core.config.rule import Limits, Rule, Severity
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.incidents.incident import Finding, Incident
from dbmon_pipeline.core.incidents.observe import finding, observe_published
from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline_tests.core.alerting.judging import (
    CRITICAL,
    MINUTE,
    OK,
    UNKNOWN,
    WARNING,
    Row,
    put,
)
from dbmon_pipeline_tests.helpers import execution, make_source, refresh_core, settings_for

START = datetime(2026, 2, 10, 10)
INSTANTS = tuple(START + n * 20 * MINUTE for n in range(5))
"""When was evaluated; the first is more than an hour before the last."""
FAILED = (20, 3, 11, 10, 0)
"""How many of twenty executions had failed in the ten minutes before."""

RAW = Rule(
    measurement="success_rate",
    mode="raw",
    window="10m",
    below=Limits(warning=0.9, critical=0.5),
    evaluations=1,
)
RULES = {
    "success": RAW,
    "twice": replace(RAW, evaluations=2),
    "tiers": replace(RAW, by="model_tier"),
    "size": Rule(measurement="database_size", above=Limits(warning=0), evaluations=1),
}
TOLD = Notifications(targets={"team": TargetConfig(kind="apprise", url="json://localhost")})


@dataclass(frozen=True)
class History:
    """A home after each of some refreshes."""

    homes: Mapping[datetime, Home]
    config: MonitoringConfig

    def observe(
        self, store: Incidents, at: datetime = INSTANTS[-1], **rules: Rule
    ) -> list[Incident]:
        """Take in what was published at an instant, under the rules or others."""
        config = replace(self.config, rules=rules or self.config.rules)
        with Published(self.homes[at]) as published:
            return observe_published(store, published, config)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """Five evaluations: critical, warning, critical, warning and good."""
    folder = tmp_path_factory.mktemp("watch")
    settings = settings_for(folder, rules=RULES, keep=Keep(generations=9))
    make_source(settings.source)
    homes = {}
    for at, failed in zip(INSTANTS, FAILED, strict=True):
        rows: list[Row] = [
            execution(
                at - (n + 1) * MINUTE / 4,
                success=n >= failed,
                repo=("worse", "bad")[n % 2] if n < failed else "good",
                model_tier="large" if n % 2 else "small",
            )
            for n in range(20)
        ]
        put(settings.source, rows)
        refresh_core(settings, at)
        homes[at] = Home(folder / f"home at {at:%H%M}")
        homes[at].current.parent.mkdir(parents=True)
        homes[at].current.symlink_to(settings.home.current.resolve())
    return History(homes, settings.config)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Incidents]:
    """A new incident store, whose target is told of everything."""
    with Incidents(tmp_path / "incidents.sqlite", notifications=TOLD) as opened:
        yield opened


def steps(changed: list[Incident]) -> list[tuple[datetime, str, str]]:
    """When each incident changed, and where it stood then."""
    return [(one.changed_at, str(one.state), str(one.severity)) for one in changed]


def told(store: Incidents) -> list[tuple[str, str, datetime]]:
    """What was put into the outbox: kind, severity and when."""
    claimed = store.due(datetime(2100, 1, 1), lease=timedelta(0))
    every = sorted((one for several in claimed.values() for one in several), key=lambda n: n.number)
    return [(str(one.kind), str(one.incident.severity), one.created_at) for one in every]


def test_each_evaluation_is_taken_in_once_and_in_order(history: History, store: Incidents) -> None:
    """All of the last hour at once; what is longer ago, an hour to the second too, is not told."""
    changed = history.observe(store, success=RAW)
    assert steps(changed) == [
        (INSTANTS[2], "firing", "critical"),
        (INSTANTS[3], "firing", "warning"),
        (INSTANTS[4], "resolved", "warning"),
    ]
    expected = [
        ("opened", "critical", INSTANTS[2]),
        ("resolved", "warning", INSTANTS[4]),
    ]
    assert told(store) == expected
    assert history.observe(store, success=RAW) == []
    assert told(store) == expected


def test_it_goes_on_where_it_was(history: History, tmp_path: Path) -> None:
    """Each time in a new process: what was counted is counted on, and nothing is counted twice."""
    found = []
    for at in (INSTANTS[0], INSTANTS[0], INSTANTS[2], INSTANTS[2], INSTANTS[4]):
        with Incidents(tmp_path / "incidents.sqlite", notifications=TOLD) as store:
            found.append(steps(history.observe(store, at, twice=RULES["twice"])))
    assert found == [
        [(INSTANTS[0], "pending", "critical")],
        [],
        [(INSTANTS[1], "firing", "warning"), (INSTANTS[2], "firing", "critical")],
        [],
        [(INSTANTS[3], "firing", "warning"), (INSTANTS[4], "recovering", "warning")],
    ]


class Killed(Incidents):
    """A store whose process is killed before it has noted how far it is."""

    def remember(self, name: str, value: str) -> None:
        """Be killed, the second time."""
        if self.remembered(name):
            raise KeyboardInterrupt
        super().remember(name, value)


def test_killed_at_the_worst_moment_it_repeats_itself(history: History, tmp_path: Path) -> None:
    """And that changes nothing: the end is that of a process that was left alone."""
    ends = []
    for name, kind in (("killed", Killed), ("alone", Incidents)):
        path = tmp_path / f"{name}.sqlite"
        with kind(path, notifications=TOLD) as store:
            history.observe(store, INSTANTS[0])
            if kind is Killed:
                with pytest.raises(KeyboardInterrupt):
                    history.observe(store, INSTANTS[2])
                half = {one.finding.rule: one.finding for one in store.open_incidents()}
                assert half["success"].window_end == INSTANTS[1]
        with Incidents(path, notifications=TOLD) as store:
            history.observe(store, INSTANTS[2])
            history.observe(store)
            ends.append((store.history(None, 9), told(store)))
    assert ends[0] == ends[1]
    assert {one.finding.fingerprint for one in ends[0][0]} == {
        *("success/all", "twice/all", "tiers/large", "tiers/small", "size/all"),
    }


def test_what_a_rule_that_is_gone_said_is_left_alone(history: History, store: Incidents) -> None:
    """It opens nothing; and what it had opened is over, as nobody looks any more."""
    assert history.observe(store, INSTANTS[1], other=replace(RAW, window="1m")) == []
    assert store.open_incidents() == []
    history.observe(store, INSTANTS[2], success=RAW, twice=RULES["twice"])
    assert [(one.finding.rule, str(one.state)) for one in store.open_incidents()] == [
        ("success", "firing"),
        ("twice", "pending"),
    ]
    changed = history.observe(
        store, INSTANTS[3], success=replace(RAW, enabled=False), twice=RULES["twice"]
    )
    assert [(one.finding.rule, str(one.state)) for one in changed] == [
        ("success", "resolved"),
        ("twice", "firing"),
    ]


def test_contributors_are_those_of_the_newest_evaluation(
    history: History, store: Incidents
) -> None:
    """Earlier ones are not explained by data of another time; a scope is explained by itself."""
    changed = history.observe(store, INSTANTS[3], success=RAW, tiers=RULES["tiers"])
    earlier = [one.finding for one in changed if one.finding.window_end != INSTANTS[3]]
    assert {finding.contributors for finding in earlier} == {()}
    newest = {
        (one.finding.rule, one.finding.scope): one.finding.contributors
        for one in store.open_incidents()
    }
    assert newest["success", "all"] == (
        *("task_type bug_fix: 100%", "repo bad: 50%", "repo worse: 50%"),
    )
    assert newest["tiers", "large"] == ("repo bad: 100%", "task_type bug_fix: 100%")
    assert newest["tiers", "small"] == ("repo worse: 100%", "task_type bug_fix: 100%")


@pytest.mark.parametrize(
    ("verdict", "limits", "severity", "limit"),
    [
        (OK, (0.9, 0.5), None, 0.9),
        (WARNING, (0.9, 0.5), Severity.WARNING, 0.9),
        (CRITICAL, (0.9, 0.5), Severity.CRITICAL, 0.5),
        (UNKNOWN, (0.9, 0.5), None, 0.9),
        (OK, (None, 0.5), None, 0.5),
        (CRITICAL, (None, 0.5), Severity.CRITICAL, 0.5),
        (WARNING, (0.9, None), Severity.WARNING, 0.9),
    ],
)
def test_what_an_evaluation_means_for_incidents(
    history: History,
    verdict: Verdict,
    limits: tuple[float | None, float | None],
    severity: Severity | None,
    limit: float,
) -> None:
    """How bad it is and by which limit; the rest is what was said, and what the rule says."""
    with Published(history.homes[INSTANTS[2]]) as published:
        said = {one.rule: one for one in published_since(published, INSTANTS[1])}["success"]
    judged = with_values(said, verdict=verdict, warning=limits[0], critical=limits[1])
    rule = replace(RAW, evaluations=3, owner="ml", labels={"team": "ml"})
    assert finding(judged, rule, ("repo bad: 100%",)) == Finding(
        rule="success",
        scope="all",
        severity=severity,
        is_known=verdict is not UNKNOWN,
        is_recovered=False,
        evaluations=3,
        summary=said.sentence,
        value=0.45,
        samples=20,
        limit=limit,
        direction="below",
        window_start=INSTANTS[2] - 10 * MINUTE,
        window_end=INSTANTS[2],
        contributors=("repo bad: 100%",),
        runbook="success_rate",
        owner="ml",
        labels={"team": "ml"},
    )
    assert finding(judged, replace(rule, runbook="Ours")).runbook == "Ours"
    assert finding(judged, replace(rule, measurement=None)).runbook == "success"
