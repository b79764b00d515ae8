"""Delivery, with a store that only takes notes and with the real one."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from dbmon_pipeline.core.common.errors import NotificationError
from dbmon_pipeline.core.config.notifications import Notifications, TargetConfig
from dbmon_pipeline.core.config.rule import Severity
from dbmon_pipeline.core.incidents.incident import Finding, Incident, Notification
from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline.outputs.notify.alertmanager import Alertmanager
from dbmon_pipeline.outputs.notify.apprise_target import AppriseTarget
from dbmon_pipeline.outputs.notify.deliver import Delivery, deliver
from dbmon_pipeline.outputs.notify.targets import InvalidTarget, Target, targets
from dbmon_pipeline.outputs.notify.webhook import Webhook
from dbmon_pipeline_tests.outputs.notify.made import (
    MINUTE,
    NOW,
    Receiver,
    made_finding,
    made_incident,
    made_notification,
)

SECRET = "S3CRET-9f2c"  # noqa: S105 - that is what it is for
SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Silence:
    """A silence about one scope."""

    created_at: datetime
    scope: str

    def covers(self, incident: Incident) -> bool:
        """Whether an incident has the scope."""
        return incident.finding.scope == self.scope


@dataclass
class Notes:
    """A store that notes what it is told."""

    waiting: dict[str, list[Notification]] = field(default_factory=dict)
    still_open: list[Incident] = field(default_factory=list)
    quiet: list[Silence] = field(default_factory=list)
    gives_up: bool = False
    asked: list[tuple[datetime, timedelta]] = field(default_factory=list)
    was_sent: list[tuple[list[int], datetime]] = field(default_factory=list)
    has_failed: list[tuple[list[int], datetime, str]] = field(default_factory=list)
    observed: list[tuple[list[Finding], datetime, bool]] = field(default_factory=list)

    def due(self, at: datetime, *, lease: timedelta) -> dict[str, list[Notification]]:
        """What waits."""
        self.asked.append((at, lease))
        return self.waiting

    def sent(self, numbers: Sequence[int], at: datetime) -> None:
        """Note it."""
        self.was_sent.append((list(numbers), at))

    def failed(self, numbers: Sequence[int], at: datetime, error: str) -> list[Notification]:
        """Note it."""
        self.has_failed.append((list(numbers), at, error))
        found = [one for several in self.waiting.values() for one in several]
        return [one for one in found if one.number in numbers] if self.gives_up else []

    def open_incidents(self) -> list[Incident]:
        """What is open."""
        return self.still_open

    def silences(self, at: datetime) -> list[Silence]:  # noqa: ARG002
        """What is silenced."""
        return self.quiet

    def observe(
        self, findings: Sequence[Finding], at: datetime, *, complete: bool = True
    ) -> list[Incident]:
        """Note it."""
        self.observed.append((list(findings), at, complete))
        return []


@dataclass
class Heard:
    """A target that hears, or fails."""

    name: str
    error: BaseException | None = None
    groups: list[tuple[list[Notification], datetime]] = field(default_factory=list)

    def send(self, notifications: Sequence[Notification], at: datetime) -> None:
        """Hear, or fail."""
        if self.error is not None:
            raise self.error
        self.groups.append((list(notifications), at))


def run(store: Notes, *told: Target) -> Delivery:
    """A delivery a second after what it speaks for."""
    return deliver(
        cast("Incidents", store), {one.name: one for one in told}, NOW, lambda: NOW + SECOND
    )


def some(target: str, *numbers: int) -> list[Notification]:
    """Notifications to a target."""
    return [made_notification(target=target, number=n, key=str(n)) for n in numbers]


def silent(name: str, *, severity: Severity | None = Severity.CRITICAL) -> Incident:
    """The incident that a target could not be told."""
    return made_incident(made_finding(rule="_notifications", scope=name, severity=severity))


def test_each_target_gets_its_group_once() -> None:
    """And what was sent is noted with the present instant."""
    store = Notes(waiting={"a": some("a", 1, 3), "b": some("b", 2)})
    a, b, c = Heard("a"), Heard("b"), Heard("c")
    assert run(store, a, b, c) == Delivery(sent=3, failed=0, given_up=0, errors=())
    assert a.groups == [(store.waiting["a"], NOW + SECOND)]
    assert b.groups == [(store.waiting["b"], NOW + SECOND)]
    assert c.groups == []
    assert store.was_sent == [([1, 3], NOW + SECOND), ([2], NOW + SECOND)]
    assert (store.has_failed, store.observed) == ([], [])
    ((at, lease),) = store.asked
    assert at == NOW
    assert lease > 3 * 2 * timedelta(seconds=60)  # of each the longest timeout, twice


def test_one_that_fails_stops_no_other() -> None:
    """Whatever it fails with; only our own words are told."""
    store = Notes(waiting={name: some(name, n) for n, name in enumerate("abcd", start=1)})
    refused = NotificationError("a answered 500", remedy="look at it")
    odd = ValueError(f"https://example.com/{SECRET}")
    d = Heard("d")
    told = run(store, Heard("a", refused), Heard("b", odd), d)
    assert told == Delivery(
        sent=1,
        failed=3,
        given_up=0,
        errors=(
            "a: a answered 500: look at it",
            "b: sending failed unexpectedly (ValueError): see what the receiver says of it",
            "c: there is no target c that is enabled: put it back as notifications.targets.c; what"
            " was for it is lost otherwise",
        ),
    )
    assert len(d.groups) == 1
    assert store.was_sent == [([4], NOW + SECOND)]
    assert store.has_failed[:2] == [
        ([1], NOW + SECOND, "a answered 500: look at it"),
        ([2], NOW + SECOND, told.errors[1].removeprefix("b: ")),
    ]
    assert store.has_failed[2][:2] == ([3], NOW + SECOND)
    assert store.observed == []


def test_one_that_was_told_a_part() -> None:
    """The rest waits, and is all that is given up."""
    store = Notes(waiting={"a": some("a", 1, 2, 3)}, gives_up=True)
    refused = NotificationError("a answered 500", remedy="look at it", notified=(2,))
    assert run(store, Heard("a", refused)) == Delivery(
        sent=1, failed=2, given_up=2, errors=("a: a answered 500: look at it",)
    )
    assert store.was_sent == [([2], NOW + SECOND)]
    assert store.has_failed == [([1, 3], NOW + SECOND, "a answered 500: look at it")]


def test_nobody_catches_an_interruption() -> None:
    """A process that is to end does."""
    with pytest.raises(KeyboardInterrupt):
        run(Notes(waiting={"a": some("a", 1)}), Heard("a", KeyboardInterrupt()))


def test_what_is_given_up_is_an_incident() -> None:
    """Of its target, for the others to tell."""
    store = Notes(waiting={"a": some("a", 1, 2), "b": some("b", 3)}, gives_up=True)
    refused = NotificationError("a answered 500", remedy="look at it")
    assert run(store, Heard("a", refused), Heard("b")) == Delivery(
        sent=1, failed=2, given_up=2, errors=("a: a answered 500: look at it",)
    )
    assert store.observed == [
        (
            [
                Finding(
                    rule="_notifications",
                    scope="a",
                    severity=Severity.CRITICAL,
                    is_recovered=False,
                    summary="The target a was not told: 2 notifications given up; a answered 500:"
                    " look at it",
                    value=2,
                    samples=2,
                    limit=0,
                    direction="above",
                    window_start=None,
                    window_end=None,
                    contributors=("opened #12 success_rate/model_tier=small",) * 2,
                    runbook="Notifications do not arrive",
                    owner="monitoring",
                )
            ],
            NOW + SECOND,
            False,
        )
    ]


def test_a_target_that_works_again() -> None:
    """Its incident gets a good finding; another one is left as it is."""
    store = Notes(
        waiting={"a": some("a", 1), "b": some("b", 2)},
        still_open=[silent("a"), silent("b"), silent("c"), silent("gone"), made_incident()],
    )
    broken = NotificationError("b answered 500", remedy="look at it")
    run(store, Heard("a"), Heard("b", broken), Heard("c"))
    ((findings, at, complete),) = store.observed
    assert (at, complete) == (NOW + SECOND, False)
    assert [
        (found.fingerprint, found.severity, found.is_known, found.is_recovered, found.summary)
        for found in findings
    ] == [
        ("_notifications/a", None, True, True, "The target a is told again"),
        ("_notifications/gone", None, True, True, "The target gone is no longer to be told"),
    ]


def test_a_good_target_is_no_news() -> None:
    """Nothing is observed where nothing was wrong."""
    store = Notes(waiting={"a": some("a", 1)}, still_open=[made_incident()])
    run(store, Heard("a"))
    assert store.observed == []


def test_alertmanagers_are_told_again(receiver: Receiver) -> None:
    """Each time, of what is open; unless it was silenced before it fired."""
    fresh, old = NOW - MINUTE, NOW - 9 * MINUTE
    incidents = [
        made_incident(made_finding(scope=scope), changed_at=changed_at)
        for scope, changed_at in (("loud", old), ("silenced later", old), ("silenced", fresh))
    ]
    quiet = [Silence(NOW - 2 * MINUTE, "silenced later"), Silence(NOW - 2 * MINUTE, "silenced")]
    store = Notes(still_open=[*incidents, silent("am")], quiet=quiet)
    target = Alertmanager("am", receiver.url, timeout=5)
    assert run(store, target) == Delivery(sent=0, failed=0, given_up=0, errors=())
    (request,) = receiver.requests
    scopes = [alert["labels"]["scope"] for alert in json.loads(request.body)]
    assert scopes == ["loud", "silenced later", "am"]
    ((findings, _, _),) = store.observed
    assert [found.fingerprint for found in findings] == ["_notifications/am"]

    receiver.requests.clear()
    store.waiting = {"am": some("am", 1)}
    assert run(store, target).sent == 1
    assert len(receiver.requests) == 2

    receiver.requests.clear()
    receiver.status = 503
    said = "am: the Alertmanager am answered 503 Service Unavailable: "
    told = run(store, target)
    assert (told.sent, told.failed) == (0, 1)
    assert [line[: len(said)] for line in told.errors] == [said]
    assert len(receiver.requests) == 1  # it is not asked again at once

    store.waiting, store.observed = {}, []
    told = run(store, target)
    assert (told.sent, told.failed, told.given_up) == (0, 0, 0)
    assert [line[: len(said)] for line in told.errors] == [said]
    assert store.observed == []


def configured(receiver: Receiver) -> Notifications:
    """One target of each kind, one that is disabled, and some that cannot be built."""
    secret: dict[str, Any] = {"secret_env": "HOOK_SECRET"}
    return Notifications(
        targets={
            "hook": TargetConfig(kind="webhook", url_env="HOOK_URL", timeout_seconds=0.3, **secret),
            "chat": TargetConfig(kind="apprise", url=f"json://127.0.0.1:{receiver.port}/{SECRET}"),
            "am": TargetConfig(
                kind="alertmanager", url=f"{receiver.url}/{SECRET}", severities=(Severity.CRITICAL,)
            ),
            "off": TargetConfig(kind="webhook", url_env="NOT_SET", enabled=False, **secret),
            "unset": TargetConfig(kind="webhook", url_env="NOT_SET", **secret),
            "odd": TargetConfig(kind="apprise", url=f"nothing://{SECRET}"),
        }
    )


def test_the_targets_of_the_rules_file(receiver: Receiver) -> None:
    """Those that are enabled; what cannot be built keeps no other from being so."""
    environ = {"HOOK_URL": f"{receiver.url}/{SECRET}", "HOOK_SECRET": SECRET}
    found = targets(configured(receiver), environ)
    assert {name: type(target) for name, target in found.items()} == {
        "hook": Webhook,
        "chat": AppriseTarget,
        "am": Alertmanager,
        "unset": InvalidTarget,
        "odd": InvalidTarget,
    }
    assert {name: target.name for name, target in found.items()} == {name: name for name in found}
    for name, said in (
        ("unset", "the target unset has no url: the environment variable NOT_SET is not set: set"),
        ("odd", "Apprise has no service for the URL of the target odd: write it as "),
    ):
        with pytest.raises(NotificationError) as caught:
            found[name].send([made_notification()], NOW)
        assert str(caught.value).startswith(said)


@pytest.mark.parametrize("manner", ["answer", "hang", "close"])
def test_no_secret_is_told(
    manner: Any,
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Neither by the result, nor in the store, nor in the log, however the receivers fail."""
    caplog.set_level(logging.DEBUG)
    receiver.manner, receiver.status = manner, 307
    receiver.headers = {"Location": f"{receiver.url}/{SECRET}"}
    config = configured(receiver)
    environ = {"HOOK_URL": f"{receiver.url}/{SECRET}", "HOOK_SECRET": f"{SECRET}-2"}
    quick = {name: replace_timeout(section) for name, section in config.targets.items()}
    found = targets(Notifications(targets=quick), environ)
    store = Notes(
        waiting={name: some(name, n) for n, name in enumerate([*found, "off"], start=1)},
        gives_up=True,
    )
    told = deliver(cast("Incidents", store), found, NOW, lambda: NOW)
    assert (told.sent, told.failed, told.given_up) == (0, 6, 6)
    assert [line.split(":")[0] for line in told.errors] == [
        *("hook", "chat", "am", "unset", "odd", "off")
    ]
    assert len(receiver.requests) == 3
    everything = repr(told) + repr(store) + repr(found) + caplog.text + "".join(capfd.readouterr())
    assert SECRET not in everything


def replace_timeout(section: TargetConfig) -> TargetConfig:
    """The same target, which is not waited for long."""
    return msgspec.structs.replace(section, timeout_seconds=0.3)


def test_with_the_real_store(receiver: Receiver, tmp_path: Path) -> None:
    """From an incident to its end, with a target that is silent and heard again."""
    hook = TargetConfig(kind="webhook", url=f"{receiver.url}/hook", secret_env="KEY")  # noqa: S106
    broken = TargetConfig(kind="webhook", url_env="NOT_SET", secret_env="KEY")  # noqa: S106
    config = Notifications(targets={"hook": hook, "broken": broken}, attempts=1)
    environ = {"KEY": "k"}

    def told(at: datetime) -> list[tuple[str, str]]:
        receiver.requests.clear()
        deliver(store, targets(config, environ), at, lambda: at)
        return [(event["kind"], f"{event['rule']}/{event['scope']}") for event in receiver.events]

    with Incidents(tmp_path / "incidents.db", notifications=config) as store:
        store.observe([made_finding()], NOW)
        assert told(NOW) == [("opened", "success_rate/model_tier=small")]
        assert told(NOW + MINUTE) == [("opened", "_notifications/broken")]
        environ["NOT_SET"] = f"{receiver.url}/broken"
        good = replace(made_finding(), severity=None)
        store.observe([good], NOW + 2 * MINUTE)
        assert told(NOW + 2 * MINUTE) == [("resolved", "success_rate/model_tier=small")] * 2
        assert sorted(told(NOW + 3 * MINUTE)) == [("resolved", "_notifications/broken")] * 2
        assert store.open_incidents() == []
        assert told(NOW + 4 * MINUTE) == []
