"""The outbox: sent at least once and in order, tried again more and more seldom, and given up."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from dbmon_pipeline.core.incidents.incident import Kind, Notification
from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline_tests.core.incidents.rounds import (
    EVERYBODY,
    FAR,
    HOUR,
    LEASE,
    MINUTE,
    START,
    C,
    W,
    finding,
    numbers,
    target,
    using,
)


def test_a_notification_says_all(store: Incidents) -> None:
    """The incident as it was then, and a key that stays the same."""
    store.observe([finding(W, labels={"tier": "large"})], START)
    then = store.incident(1)
    store.observe([finding(C)], START + MINUTE)
    assert store.due(START - MINUTE, lease=LEASE) == {}
    (first,) = store.due(START, lease=LEASE)["team"]
    assert first == Notification(
        number=1,
        key=first.key,
        kind=Kind.OPENED,
        target="team",
        created_at=START,
        attempts=0,
        incident=then,
    )
    assert len(first.key) == 32
    again, second = store.due(START + LEASE, lease=LEASE)["team"]
    assert again == first
    assert (second.kind, second.incident) == (Kind.ESCALATED, store.incident(1))
    assert second.key != first.key


def test_what_is_claimed_is_left_alone_until_the_lease_ends(store: Incidents) -> None:
    """And what was sent, for ever."""
    store.observe([finding(W, "a"), finding(W, "b")], START)
    with Incidents(store.path, notifications=EVERYBODY) as other:
        assert numbers(store.due(START, lease=LEASE)) == [1, 2]
        assert other.due(START + LEASE - MINUTE, lease=LEASE) == {}
        store.sent([1], START + MINUTE)
        assert numbers(other.due(START + LEASE, lease=LEASE)) == [2]
        other.sent([2], START + LEASE)
        assert other.due(FAR, lease=LEASE) == {}
    assert store.undelivered() == []


def test_the_order_of_an_incident_is_kept(store: Incidents) -> None:
    """What comes later waits while the earlier one is claimed or waits, and for no other."""
    store = using(store, targets={"one": target(), "two": target()}, attempts=2)
    store.observe([finding(W, "a")], START)
    assert numbers(store.due(START, lease=LEASE)) == [1, 2]
    store.observe([finding(C, "a"), finding(W, "b")], START + MINUTE)
    store.sent([2], START + MINUTE)
    claimed = store.due(START + MINUTE, lease=LEASE)  # 3 waits for 1
    assert {name: numbers({"": found}) for name, found in claimed.items()} == {
        "two": [4, 6],
        "one": [5],
    }
    assert store.failed([1], START + MINUTE, "unreachable") == []
    assert store.due(START + MINUTE, lease=LEASE) == {}
    assert numbers(store.due(START + 2 * MINUTE, lease=LEASE)) == [1, 3]
    # Given up, it stands in nobody's way.
    (given_up,) = store.failed([1], START + 2 * MINUTE, "unreachable")
    assert given_up.number == 1
    assert store.due(START + 2 * MINUTE, lease=LEASE) == {}
    assert {name: numbers({"": found}) for name, found in store.due(FAR, lease=LEASE).items()} == {
        "one": [3, 5],
        "two": [4, 6],
    }
    store.close()


def test_what_happened_first_is_told_first(store: Incidents) -> None:
    """Across incidents, too."""
    for minute, found in enumerate([finding(W, "a"), finding(W, "b"), finding(C, "a")]):
        store.observe([found], START + minute * MINUTE, complete=False)
    claimed = store.due(START + HOUR, lease=LEASE)["team"]
    assert [one.incident.number for one in claimed] == [1, 2, 1]
    assert [one.number for one in claimed] == [1, 2, 3]


def test_a_retry_waits_twice_as_long_each_time(store: Incidents) -> None:
    """From half a minute to an hour, a little more for each key, and then it is given up."""
    store = using(store, targets={"team": target()}, attempts=12)
    store.observe([finding(W)], START)
    at, waited = START, []
    for attempt in range(11):
        (found,) = store.due(at, lease=LEASE)["team"]
        assert found.attempts == attempt
        assert store.failed([1], at, f"error {attempt} " + "x" * 600) == []
        ready = _ready(store)[0]
        assert store.due(ready - timedelta(microseconds=1), lease=LEASE) == {}
        waited.append((ready - at).total_seconds())
        at = ready
    expected = [min(30.0 * 2**n, 3600.0) for n in range(11)]
    shares = [real / base for real, base in zip(waited, expected, strict=True)]
    assert shares == pytest.approx([shares[0]] * 11)
    assert 1 <= shares[0] <= 1.2
    (waiting,) = store.undelivered()
    assert waiting == replace(
        found, attempts=11, last_error=("error 10 " + "x" * 600)[:500], is_given_up=False
    )
    assert (waiting.number, waiting.target, waiting.kind) == (1, "team", Kind.OPENED)
    assert waiting.incident.number == 1
    store.due(at, lease=LEASE)
    (dead,) = store.failed([1], at, "bad \udcff bytes")
    assert (dead.number, dead.attempts, dead.incident.number) == (1, 12, 1)
    assert [(one.is_given_up, one.last_error) for one in store.undelivered()] == [
        (True, "bad ? bytes")
    ]
    assert store.due(FAR, lease=LEASE) == {}
    assert store.failed([1], at, "again") == []
    store.close()


def _ready(store: Incidents) -> list[datetime]:
    con = sqlite3.connect(store.path)
    rows = con.execute("SELECT ready_at FROM notifications ORDER BY number").fetchall()
    con.close()
    return [datetime.fromisoformat(at) for (at,) in rows]


def test_two_retries_do_not_come_at_once(store: Incidents) -> None:
    """When a target was away, what waits for it comes back spread."""
    store.observe([finding(W, f"rule_{n}") for n in range(20)], START)
    store.failed(numbers(store.due(START, lease=LEASE)), START, "away")
    ready = _ready(store)
    assert len(set(ready)) > 10
    assert all(30 <= (at - START).total_seconds() <= 36 for at in ready)


def test_what_was_sent_by_another_cannot_fail(store: Incidents) -> None:
    """A sender that was too slow changes nothing; one that did succeed, does."""
    store = using(store, targets={"team": target()}, attempts=1)
    store.observe([finding(W, "a"), finding(W, "b")], START)
    store.due(START, lease=LEASE)
    store.sent([1], START)
    assert store.failed([1, 99], START, "timed out") == []
    assert [one.number for one in store.failed([2], START, "timed out")] == [2]
    store.sent([2, 99], START)
    assert store.undelivered() == []
    store.close()


def test_a_target_that_is_not_told_any_more_waits(store: Incidents) -> None:
    """Whether it is off or gone; its notifications are there when it is back."""
    store.observe([finding(W)], START)
    for targets in ({"team": target(enabled=False)}, {"other": target()}):
        store = using(store, targets=targets)
        assert store.due(START, lease=LEASE) == {}
        assert [one.target for one in store.undelivered()] == ["team"]
    store = using(store, targets={"team": target()})
    assert numbers(store.due(START, lease=LEASE)) == [1]
    store.close()


def test_forgetting(store: Incidents) -> None:
    """What was sent or given up long ago leaves; what waits stays, if it can be sent at all."""
    store = using(store, targets={"team": target(), "two": target()}, attempts=1)
    store.observe([finding(W, "a"), finding(W, "b")], START)  # 1, 3 for team; 2, 4 for two
    store.sent([1], START + HOUR)
    store.failed([2], START + HOUR, "no")
    store.forget(START + HOUR)
    assert [one.number for one in store.undelivered()] == [2, 3, 4]
    store.forget(START + 2 * HOUR)
    assert [one.number for one in store.undelivered()] == [3, 4]
    store = using(store, targets={"team": target(), "two": target(enabled=False)})
    store.forget(START)
    assert [one.number for one in store.undelivered()] == [3, 4]
    store.forget(START + 2 * HOUR)
    assert [one.number for one in store.undelivered()] == [3]
    con = sqlite3.connect(store.path)
    assert con.execute("SELECT number FROM notifications").fetchall() == [(3,)]
    con.close()
    store.close()
