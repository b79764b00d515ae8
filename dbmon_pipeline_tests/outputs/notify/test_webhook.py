"""The webhook, and what it does with receivers that do not behave."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import socket
import time
import traceback
from dataclasses import replace
from typing import Any

import pytest

from dbmon_pipeline.core.common.errors import NotificationError
from dbmon_pipeline.core.incidents.incident import Kind, Notification
from dbmon_pipeline.outputs.notify.webhook import Webhook, signature
from dbmon_pipeline_tests.outputs.notify.made import (
    MINUTE,
    NOW,
    Receiver,
    made_finding,
    made_incident,
    made_notification,
    resolved,
)

SECRET = "S3CRET-9f2c"  # noqa: S105 - that is what it is for
KEY = "signing-key-77aa"
TIMESTAMP = "1770724830"


def hook(receiver: Receiver, timeout: float = 5) -> Webhook:
    """A webhook to a receiver, with a secret in its URL, too."""
    url = f"{receiver.url}/{SECRET}?token={SECRET}"
    return Webhook("ops", url, KEY, timeout=timeout)


def refusal(target: Webhook, caplog: pytest.LogCaptureFixture) -> str:
    """Why nothing could be sent; nobody is told a secret."""
    caplog.set_level(logging.DEBUG)
    started = time.monotonic()
    with pytest.raises(NotificationError) as caught:
        target.send([made_notification()], NOW)
    assert time.monotonic() - started < 3
    said = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caplog.text
    assert SECRET not in said
    assert KEY not in said
    return str(caught.value)


def sent(receiver: Receiver, *notifications: Notification) -> Any:
    """What was sent in the one request for them."""
    hook(receiver).send(notifications, NOW)
    (request,) = receiver.requests
    return json.loads(request.body)


def test_one_signed_request(receiver: Receiver) -> None:
    """Whoever knows the secret can tell that it is ours, and from when."""
    hook(receiver).send([made_notification(), made_notification(key="77ab")], NOW)
    (request,) = receiver.requests
    assert (request.method, request.path) == ("POST", f"/{SECRET}?token={SECRET}")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["dbmon-event-id"] == "5f0c,77ab"
    assert request.headers["dbmon-timestamp"] == TIMESTAMP
    signed = f"{TIMESTAMP}.".encode() + request.body
    expected = hmac.new(KEY.encode(), signed, hashlib.sha256).hexdigest()
    assert request.headers["dbmon-signature"] == f"v1={expected}"
    assert signature(KEY, TIMESTAMP, request.body + b" ") != expected
    assert signature(KEY, "1770724831", request.body) != expected
    assert signature(KEY + "x", TIMESTAMP, request.body) != expected
    assert [event["id"] for event in json.loads(request.body)["events"]] == ["5f0c", "77ab"]


def test_all_of_an_event(receiver: Receiver) -> None:
    """Instants in ISO 8601, numbers as they are, what is unknown null."""
    over = resolved(made_incident(), NOW - MINUTE)
    body = sent(
        receiver,
        made_notification(Kind.OPENED),
        made_notification(Kind.RESOLVED, over, key="5f0d"),
        made_notification(
            incident=made_incident(
                made_finding(value=float("nan"), limit=None, window_start=None, window_end=None)
            )
        ),
    )
    opened = {
        "id": "5f0c",
        "kind": "opened",
        "incident": 12,
        "state": "firing",
        "severity": "warning",
        "opened_at": "2026-02-10T11:55:30Z",
        "resolved_at": None,
        "rule": "success_rate",
        "scope": "model_tier=small",
        "summary": "The success rate of small is 71.4 %, below 80 %",
        "value": 0.71428,
        "samples": 1234,
        "limit": 0.8,
        "direction": "below",
        "window_start": "2026-02-10T11:00:00Z",
        "window_end": "2026-02-10T12:00:00Z",
        "contributors": ["timeout: 41", "rate limit: 7"],
        "runbook": "An alert rule warns",
        "owner": "platform",
        "labels": {"team": "agents"},
    }
    assert body == {
        "version": 1,
        "sent_at": "2026-02-10T12:00:30Z",
        "events": [
            opened,
            opened
            | {
                "id": "5f0d",
                "kind": "resolved",
                "state": "resolved",
                "resolved_at": "2026-02-10T11:59:30Z",
            },
            opened | {"value": None, "limit": None, "window_start": None, "window_end": None},
        ],
    }


def test_texts_from_the_data_are_plain(receiver: Receiver) -> None:
    """One line each, and not too long; nothing else is done to them."""
    bad = "a\x1b[0m\n@everyone" + "x" * 300
    finding = made_finding(scope=bad, summary=bad, contributors=(bad,), labels={"team": bad})
    (event,) = sent(receiver, made_notification(incident=made_incident(finding)))["events"]
    good = ("a [0m @everyone" + "x" * 300)[:199] + "…"
    assert event["scope"] == event["contributors"][0] == event["labels"]["team"] == good
    assert event["summary"] == "a [0m @everyone" + "x" * 300


def test_a_key_cannot_become_a_header(receiver: Receiver) -> None:
    """Whatever the store makes it of; and very many keys are cut, for they stand in the body."""
    bad = made_notification(key="1/a,b\r\nX-Evil: 1/ü")
    many = [made_notification(key=f"key-{n:04}") for n in range(1_000)]
    hook(receiver).send([bad, *many], NOW)
    (request,) = receiver.requests
    assert "x-evil" not in request.headers
    ids = request.headers["dbmon-event-id"].split(",")
    assert ids[:2] == ["1/a%2Cb%0D%0AX-Evil: 1/%C3%BC", "key-0000"]
    assert ids[-1] == f"key-{len(ids) - 2:04}"
    assert 3_900 < len(request.headers["dbmon-event-id"]) <= 4_000
    assert len(json.loads(request.body)["events"]) == 1_001


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_what_counts_as_taken(status: int, receiver: Receiver) -> None:
    """Any 2xx."""
    receiver.status = status
    hook(receiver).send([made_notification()], NOW)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (500, "500 Internal Server Error"),
        (401, "401 Unauthorized"),
        (304, "304 Not Modified"),
        (599, "599"),
    ],
)
def test_what_does_not(
    status: int, said: str, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Anything else, by its number."""
    receiver.status = status
    assert refusal(hook(receiver), caplog) == (
        f"the webhook ops answered {said}: see that its URL and its secret are right, and what the"
        " receiver says of it"
    )


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(
    status: int, receiver: Receiver, elsewhere: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Where it leads nobody hears of it, and of where it leads only the host is told."""
    receiver.status = status
    receiver.headers = {"Location": f"{elsewhere.url}/{SECRET}?token={SECRET}"}
    assert refusal(hook(receiver), caplog) == (
        f"the webhook ops answered {status} and points to the host 127.0.0.1, which is not"
        " followed: give the URL where it is now"
    )
    assert elsewhere.requests == []
    assert len(receiver.requests) == 1
    for location in (f"/{SECRET}", f"file:///{SECRET}", f"http://[{SECRET}"):
        receiver.headers = {"Location": location}
        assert "points to another path, which" in refusal(hook(receiver), caplog)
    assert len(receiver.requests) == 4


@pytest.mark.parametrize("manner", ["hang", "drip head"])
def test_a_time_limit_for_all_of_it(
    manner: Any, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Also if something comes now and then."""
    receiver.manner = manner
    assert refusal(hook(receiver, timeout=0.4), caplog) == (
        "the webhook ops did not answer within 0.4 s: see whether the receiver works, or give it"
        " more time"
    )


def test_what_was_taken_stays_so(receiver: Receiver) -> None:
    """Although the rest of the answer never comes."""
    receiver.manner = "drip body"
    started = time.monotonic()
    hook(receiver, timeout=0.4).send([made_notification()], NOW)
    assert time.monotonic() - started < 2


def test_a_connection_that_is_closed(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """Or none at all, or a name that there is not."""
    remedy = "see whether the receiver is up, and whether this machine may reach it"
    receiver.manner = "close"
    assert refusal(hook(receiver), caplog) == (
        f"the webhook ops could not be reached (RemoteDisconnected): {remedy}"
    )
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = replace(receiver, port=unused.getsockname()[1])
        assert refusal(hook(nobody), caplog) == (
            f"the webhook ops could not be reached (Connection refused): {remedy}"
        )
    unknown = Webhook("ops", f"http://hook.invalid/{SECRET}", KEY, timeout=2)
    assert refusal(unknown, caplog).startswith("the webhook ops ")


def test_tls_is_verified(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """What does not even speak it is not told anything."""
    url = f"https://127.0.0.1:{receiver.port}/{SECRET}"
    said = refusal(Webhook("ops", url, KEY, timeout=3), caplog)
    assert said.startswith("the webhook ops could not be reached (")
    assert receiver.requests == []
