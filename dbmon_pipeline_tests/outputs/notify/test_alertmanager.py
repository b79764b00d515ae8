"""A real Alertmanager, which passes on what it is told to a receiver of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from dbmon_pipeline.core.common.errors import NotificationError
from dbmon_pipeline.core.common.instants import iso, utc_now
from dbmon_pipeline.core.config.rule import Severity
from dbmon_pipeline.core.incidents.incident import Incident, IncidentState, Kind
from dbmon_pipeline.outputs.notify.alertmanager import Alertmanager
from dbmon_pipeline.outputs.notify.message import details
from dbmon_pipeline_tests.outputs.notify.made import (
    HOUR,
    MINUTE,
    NOW,
    Receiver,
    escalated,
    made_finding,
    made_incident,
    made_notification,
    receiving,
    resolved,
)
from dbmon_pipeline_tests.outputs.notify.real_alertmanager import (
    Running,
    alertmanager,
    free_port,
    needs_alertmanager,
    wait_for,
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An Alertmanager."""
    folder = tmp_path_factory.mktemp("alertmanager")
    with receiving() as people, alertmanager(folder, people, free_port()) as started:
        yield started


def just_now() -> datetime:
    """An instant that has passed, with a fraction of a second."""
    return (utc_now() - timedelta(seconds=1)).replace(microsecond=123456)


def firing(rule: str, now: datetime, **values: Any) -> Incident:
    """An incident of a rule that fires since a minute ago."""
    return made_incident(
        made_finding(rule=rule, **values), opened_at=now - MINUTE, changed_at=now - MINUTE
    )


def severities(alerts: list[Any]) -> list[str]:
    """Those of alerts."""
    return sorted(alert["labels"]["severity"] for alert in alerts)


@needs_alertmanager
def test_the_life_of_an_incident(running: Running) -> None:
    """It appears, becomes worse as the one that it is, goes on, and is over."""
    target = Alertmanager("am", f"{running.url}/", timeout=5)
    now = just_now()
    incident = firing("lives", now)
    target.send([made_notification(Kind.OPENED, incident)], now)
    (alert,) = running.alerts("lives")
    assert alert["labels"] == {
        "alertname": "lives",
        "scope": "model_tier=small",
        "severity": "warning",
        "owner": "platform",
        "team": "agents",
    }
    assert alert["annotations"] == {
        "summary": "The success rate of small is 71.4 %, below 80 %",
        "description": details(incident),
        "runbook": "RUNBOOK.md, section An alert rule warns",
    }
    assert alert["startsAt"] == iso(now - MINUTE)[:-4] + "Z"
    assert alert["endsAt"] == iso(now + 15 * MINUTE)[:-4] + "Z"
    assert alert["status"]["state"] == "active"
    wait_for(lambda: running.told("lives"))

    now = just_now()
    worse = escalated(incident, now)
    target.send([made_notification(Kind.ESCALATED, worse)], now)
    assert severities(running.alerts("lives")) == ["critical"]
    wait_for(lambda: len(running.told("lives")) == 2)

    now = just_now()
    taken = replace(worse, state=IncidentState.ACKNOWLEDGED, acknowledged_by="Ada")
    target.resend([taken], now)
    (alert,) = running.alerts("lives")
    assert alert["labels"]["severity"] == "critical"
    assert alert["endsAt"] == iso(now + 15 * MINUTE)[:-4] + "Z"
    assert "\nTaken on by: Ada\n" in alert["annotations"]["description"]

    now = just_now()
    target.send([made_notification(Kind.RESOLVED, resolved(taken, now))], now)
    assert running.alerts("lives") == []
    wait_for(lambda: len(running.told("lives")) == 3)
    assert running.told("lives") == [
        [("warning", "firing")],
        [("critical", "firing"), ("warning", "resolved")],
        [("critical", "resolved")],
    ]


@needs_alertmanager
def test_nobody_is_told_of_a_severity_that_never_was(running: Running) -> None:
    """An incident that was critical from the first is one alert there."""
    target = Alertmanager("am", running.url, timeout=5)
    now = just_now()
    worse = escalated(firing("bad_at_once", now), now)
    target.send([made_notification(Kind.OPENED, worse)], now)
    target.resend([worse], now)
    assert severities(running.alerts("bad_at_once")) == ["critical"]
    wait_for(lambda: running.told("bad_at_once"))
    target.send([made_notification(Kind.RESOLVED, resolved(worse, now))], just_now())
    wait_for(lambda: len(running.told("bad_at_once")) == 2)
    assert running.told("bad_at_once") == [
        [("critical", "firing")],
        [("critical", "resolved")],
    ]


@needs_alertmanager
def test_an_incident_that_is_less_bad(running: Running) -> None:
    """Nobody tells of that: what is sent again is one alert with the severity that it has now."""
    target = Alertmanager("am", running.url, timeout=5)
    now = just_now()
    worse = escalated(firing("better", now), now)
    target.send([made_notification(Kind.OPENED, worse)], now)
    assert severities(running.alerts("better")) == ["critical"]
    now = just_now()
    better = replace(worse, severity=Severity.WARNING, changed_at=now)
    target.resend([better], now)
    assert severities(running.alerts("better")) == ["warning"]
    now = just_now()
    target.send([made_notification(Kind.RESOLVED, resolved(better, now))], now)
    assert running.alerts("better") == []


@needs_alertmanager
def test_all_of_a_group_in_one_post(running: Running) -> None:
    """What happened to one incident meanwhile counts as it is last."""
    target = Alertmanager("am", running.url, timeout=5)
    now = just_now()
    one, other = firing("grouped", now), firing("grouped", now, scope="b\n<!channel>\x1b")
    worse = escalated(one, now)
    over = resolved(worse, now)
    again = replace(other, number=13, opened_at=now)
    target.send(
        [
            made_notification(Kind.OPENED, one),
            made_notification(Kind.OPENED, other),
            made_notification(Kind.ESCALATED, worse),
            made_notification(Kind.RESOLVED, resolved(other, now)),
            made_notification(Kind.RESOLVED, over),
            made_notification(Kind.OPENED, again),
        ],
        just_now(),
    )
    (alert,) = running.alerts("grouped")
    assert alert["labels"]["scope"] == "b <!channel>"
    assert alert["labels"]["severity"] == "warning"


@needs_alertmanager
def test_labels_of_a_rule_are_names_there(running: Running) -> None:
    """Characters that Prometheus has not are replaced, and ours cannot be taken."""
    labels = {"a-b.c": "1", "9": "x", "severity": "none", "empty": "", "ü": "2"}
    now = just_now()
    incident = firing("labelled", now, labels=labels)
    Alertmanager("am", running.url, timeout=5).send([made_notification(incident=incident)], now)
    (alert,) = running.alerts("labelled")
    assert alert["labels"] == {
        "alertname": "labelled",
        "scope": "model_tier=small",
        "severity": "warning",
        "owner": "platform",
        "a_b_c": "1",
        "_9": "x",
        "_": "2",
    }


def posted(receiver: Receiver) -> list[Any]:
    """Severity, start and end of each alert in the one post."""
    (request,) = receiver.requests
    return [
        (alert["labels"]["severity"], alert["startsAt"], alert["endsAt"])
        for alert in json.loads(request.body)
    ]


def test_when_alerts_end(receiver: Receiver) -> None:
    """Three times the interval from now on, when it is over, or when it became another one."""
    target = Alertmanager("am", f"{receiver.url}/prefix", timeout=5)
    incident = made_incident()
    worse = escalated(incident, NOW - MINUTE)
    over = resolved(worse, NOW - 2 * timedelta(seconds=1))
    began = "2026-02-10T11:55:30Z"
    lasting = "2026-02-10T12:15:30Z"
    for kind, told, alerts in (
        (Kind.OPENED, incident, [("warning", began, lasting)]),
        (Kind.REMINDER, incident, [("warning", began, lasting)]),
        (
            Kind.ESCALATED,
            worse,
            [("warning", began, "2026-02-10T12:00:30Z"), ("critical", began, lasting)],
        ),
        (
            Kind.RESOLVED,
            replace(over, severity=Severity.WARNING),
            [
                ("critical", began, "2026-02-10T12:00:28Z"),
                ("warning", began, "2026-02-10T12:00:28Z"),
            ],
        ),
        (Kind.OPENED, worse, [("critical", began, lasting)]),
        (Kind.RESOLVED, over, [("critical", began, "2026-02-10T12:00:28Z")]),
        (
            Kind.RESOLVED,
            replace(resolved(incident, NOW), opened_at=NOW + MINUTE),
            [("warning", "2026-02-10T12:01:30Z", "2026-02-10T12:01:30Z")],
        ),
    ):
        receiver.requests.clear()
        target.send([made_notification(kind, told)], NOW)
        assert posted(receiver) == alerts
        assert receiver.requests[0].path == "/prefix/api/v2/alerts"


def test_what_is_sent_again(receiver: Receiver) -> None:
    """What fires, is taken on or recovers, of those severities and owners that it is told of."""
    target = Alertmanager(
        "am",
        f"{receiver.url}/api/v2/alerts",
        timeout=5,
        severities=(Severity.CRITICAL,),
        owners=("platform", "ml"),
    )
    critical = escalated(made_incident(), NOW - HOUR)
    scoped = {
        state: replace(critical, state=state, finding=made_finding(scope=state))
        for state in IncidentState
    }
    others = [
        made_incident(made_finding(scope="warning")),
        replace(critical, finding=made_finding(scope="owner", owner="finance")),
    ]
    target.resend([*scoped.values(), *others], NOW)
    (request,) = receiver.requests
    assert request.path == "/api/v2/alerts"
    assert [alert["labels"]["scope"] for alert in json.loads(request.body)] == [
        "firing",
        "acknowledged",
        "recovering",
    ]
    receiver.requests.clear()
    target.resend(others, NOW)
    assert receiver.requests == []


def test_an_alertmanager_that_refuses(receiver: Receiver) -> None:
    """It is named, with what it answered."""
    receiver.status = 400
    target = Alertmanager("am", f"{receiver.url}/S3CRET", timeout=5)
    with pytest.raises(NotificationError) as sending:
        target.send([made_notification()], NOW)
    with pytest.raises(NotificationError) as sending_again:
        target.resend([made_incident()], NOW)
    for caught in (sending, sending_again):
        assert str(caught.value).startswith("the Alertmanager am answered 400 Bad Request: ")
        assert "S3CRET" not in str(caught.value)
