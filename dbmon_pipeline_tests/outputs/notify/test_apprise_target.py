"""Apprise, by its plain JSON service and by that of PagerDuty, both to a receiver of ours."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from dbmon_pipeline.core.common.errors import ConfigError, NotificationError
from dbmon_pipeline.core.config.rule import Severity
from dbmon_pipeline.core.incidents.incident import Incident, Kind
from dbmon_pipeline.outputs.notify.apprise_target import AppriseTarget
from dbmon_pipeline.outputs.notify.message import text, title
from dbmon_pipeline_tests.outputs.notify.made import (
    MINUTE,
    NOW,
    Receiver,
    escalated,
    made_finding,
    made_incident,
    made_notification,
    resolved,
)

SECRET = "S3CRET-9f2c"  # noqa: S105 - that is what it is for


def chat(receiver: Receiver, timeout: float = 5, **options: str) -> AppriseTarget:
    """A target with secrets wherever a URL may have some."""
    query = "".join(f"&{name}={value}" for name, value in options.items())
    url = f"json://ada:{SECRET}@127.0.0.1:{receiver.port}/{SECRET}/?+X-Token={SECRET}{query}"
    return AppriseTarget("ops", url, timeout=timeout)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Mapping[str, Any]:
    """What the log and the terminal got, as a program that shows everything has them."""
    caplog.set_level(logging.DEBUG)
    return {"log": caplog, "terminal": capfd}


def refusal(target: AppriseTarget, said: Mapping[str, Any]) -> str:
    """Why nothing could be sent; nobody is told a secret."""
    started = time.monotonic()
    with pytest.raises(NotificationError) as caught:
        target.send([made_notification()], NOW)
    assert time.monotonic() - started < 3
    check_silence(said, caught.value)
    return str(caught.value)


def check_silence(said: Mapping[str, Any], error: Exception | None = None) -> None:
    """See that nobody was told a secret, and nothing was printed."""
    told = "".join(traceback.format_exception(error)) + repr(error) if error else ""
    assert SECRET not in told + said["log"].text
    assert said["terminal"].readouterr() == ("", "")


def test_one_message_for_a_group(receiver: Receiver, said: Mapping[str, Any]) -> None:
    """With the title and the text that people read, as they are."""
    incident = made_incident(made_finding(contributors=(r"C:\new\table :smile: *b* <b>",)))
    group = [made_notification(incident=incident), made_notification(Kind.REMINDER, incident)]
    chat(receiver).send(group, NOW)
    (request,) = receiver.requests
    assert (request.method, request.path) == ("POST", f"/{SECRET}/")
    assert request.headers["x-token"] == SECRET
    body = json.loads(request.body)
    assert (body["title"], body["message"]) == (title(group), text(group))
    assert r"- C:\new\table :smile: *b* <" in body["message"]
    check_silence(said)


def test_what_colour_it_has(receiver: Receiver) -> None:
    """That of the worst which is not over."""
    warning = made_notification()
    critical = made_notification(Kind.ESCALATED, escalated(made_incident(), NOW))
    over = made_notification(Kind.RESOLVED, resolved(critical.incident, NOW))
    target = chat(receiver)
    for group, colour in (
        ([warning], "warning"),
        ([over, warning], "warning"),
        ([warning, critical, over], "failure"),
        ([over], "success"),
    ):
        receiver.requests.clear()
        target.send(group, NOW)
        (request,) = receiver.requests
        assert json.loads(request.body)["type"] == colour


def test_a_service_that_refuses(receiver: Receiver, said: Mapping[str, Any]) -> None:
    """Or that is not there, closes the connection, or wants to be asked elsewhere."""
    refused = (
        "JSON, the target ops, did not take the message: see that its URL is right, for instance"
        " with the command apprise, and that this machine may reach the service"
    )
    for status in (500, 404, 302):
        receiver.status = status
        receiver.headers = {"Location": "/elsewhere"}
        receiver.requests.clear()
        assert refusal(chat(receiver), said) == refused
        assert [request.path for request in receiver.requests] == [f"/{SECRET}/"]
    receiver.manner = "close"
    assert refusal(chat(receiver), said) == refused


@pytest.mark.parametrize("manner", ["hang", "drip head"])
def test_a_service_that_does_not_answer(
    manner: Any, receiver: Receiver, said: Mapping[str, Any]
) -> None:
    """There is a limit for all of it."""
    receiver.manner = manner
    assert "did not" in refusal(chat(receiver, timeout=0.4), said)


def test_a_service_that_takes_its_time(receiver: Receiver) -> None:
    """It has as long as the rules file says, not the four seconds of Apprise."""
    target = chat(receiver, timeout=7)
    service = target._service()
    assert service.request_timeout == (7, 7)
    assert chat(receiver, timeout=7, rto="2", cto="3")._service().request_timeout == (3, 2)


def test_a_service_that_there_is_not(said: Mapping[str, Any]) -> None:
    """The target is named, and the URL is not."""
    for url in (
        f"nothing://{SECRET}",
        SECRET,
        f"slack://{SECRET}",
        "json://",
        f"slack://{SECRET}/",
    ):
        with pytest.raises(ConfigError) as caught:
            AppriseTarget("ops", url, timeout=1)
        assert str(caught.value) == (
            "Apprise has no service for the URL of the target ops: write it as"
            " https://appriseit.com/services/ shows it for the service"
        )
        check_silence(said, caught.value)


def test_a_service_with_short_messages(receiver: Receiver) -> None:
    """It gets the beginning, in one message; in parts if its URL says so."""
    from apprise import NotifyFormat

    for target, number in ((chat(receiver), 1), (chat(receiver, overflow="split"), 2)):
        receiver.requests.clear()
        service = target._service()
        service.body_maxlen, service.request_rate_per_sec = 300, 0
        assert service.notify(body="x" * 500, title="t", body_format=NotifyFormat.TEXT)
        assert len(receiver.requests) == number


@pytest.fixture
def pager(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> AppriseTarget:
    """A target at PagerDuty, whose requests come to the receiver."""
    url = f"pagerduty://{SECRET}@{SECRET}/dbmon?action=trigger&dedup=fixed"
    target = AppriseTarget("pager", url, timeout=5)
    regions = sys.modules[type(target._service()).__module__].PAGERDUTY_API_LOOKUP
    monkeypatch.setitem(regions, "us", f"{receiver.url}/v2/enqueue")
    return target


def test_a_pager_resolves_what_it_was_told(
    pager: AppriseTarget, receiver: Receiver, said: Mapping[str, Any]
) -> None:
    """Each incident has a key there, whatever is told of it, and whoever else is told."""
    one = made_incident()
    other = made_incident(made_finding(scope="model_tier=large"), number=13)
    worse = escalated(one, NOW)

    def told(*group: tuple[Kind, Incident]) -> list[Any]:
        receiver.requests.clear()
        pager.send([made_notification(kind, incident) for kind, incident in group], NOW)
        return [json.loads(request.body) for request in receiver.requests]

    opened, another = told((Kind.OPENED, one), (Kind.OPENED, other))
    (escalation,) = told((Kind.ESCALATED, worse))
    resolution, reminder = told(
        (Kind.RESOLVED, resolved(worse, NOW + MINUTE)), (Kind.REMINDER, other)
    )
    key = opened["dedup_key"]
    assert key.startswith("dbmon-12-")
    assert another["dedup_key"].startswith("dbmon-13-")
    assert (opened["event_action"], opened["payload"]["severity"]) == ("trigger", "warning")
    assert "OPENED #12, warning: success_rate" in opened["payload"]["summary"]
    assert (escalation["event_action"], escalation["dedup_key"]) == ("trigger", key)
    assert escalation["payload"]["severity"] == Severity.CRITICAL
    assert resolution == {"routing_key": SECRET, "event_action": "resolve", "dedup_key": key}
    assert reminder["event_action"] == "trigger"
    assert reminder["dedup_key"] == another["dedup_key"]
    (elsewhere,) = told((Kind.OPENED, replace(one, opened_at=NOW)))
    assert elsewhere["dedup_key"] != key
    check_silence(said)


def test_a_pager_that_does_not_take_all(pager: AppriseTarget, receiver: Receiver) -> None:
    """Of an incident nothing is told after what was refused; one has no say over another."""
    incidents = [made_incident(made_finding(scope=f"<{n}>"), number=n) for n in range(5)]
    bad, good = incidents[:2]
    group = [
        made_notification(kind, incident, number=number)
        for number, (kind, incident) in enumerate(
            [
                (Kind.OPENED, bad),
                (Kind.OPENED, good),
                (Kind.RESOLVED, resolved(bad, NOW)),
                (Kind.RESOLVED, resolved(good, NOW)),
            ],
            start=1,
        )
    ]
    receiver.refuses = "OPENED #0"
    with pytest.raises(NotificationError) as caught:
        pager.send(group, NOW)
    assert caught.value.notified == (2, 4)
    assert len(receiver.requests) == 3

    receiver.requests.clear()
    receiver.status = 500
    with pytest.raises(NotificationError) as caught:
        pager.send([made_notification(incident=one) for one in incidents], NOW)
    assert caught.value.notified == ()
    assert len(receiver.requests) == 3  # it is the pager, and is asked no more


def test_apprise_is_loaded_only_where_it_is_needed() -> None:
    """The commands start without it, and so do other targets."""
    code = (
        "import sys\n"
        "from dbmon_pipeline.core.config.notifications import Notifications, TargetConfig\n"
        "from dbmon_pipeline.outputs.notify.deliver import deliver\n"
        "from dbmon_pipeline.outputs.notify.targets import targets\n"
        "hook = TargetConfig(kind='webhook', url='http://x/', secret_env='S')\n"
        "targets(Notifications(targets={'hook': hook}), {'S': 's'})\n"
        "assert not {'apprise', 'requests', 'dagster', 'pandas'} & set(sys.modules)\n"
        "chat = TargetConfig(kind='apprise', url='json://localhost')\n"
        "targets(Notifications(targets={'chat': chat}), {})\n"
        "assert 'apprise' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
