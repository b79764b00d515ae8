"""Silences: nothing is told of what they cover, until they end."""

from __future__ import annotations

import pytest

from dbmon_pipeline.core.common.errors import IncidentError
from dbmon_pipeline.core.incidents.incident import Silence
from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline_tests.core.incidents.rounds import (
    ESCALATED,
    GOOD,
    HOUR,
    MINUTE,
    OPENED_W,
    RESOLVED_W,
    START,
    C,
    W,
    finding,
    play,
    told,
)


def test_a_silence_is_silent(store: Incidents) -> None:
    """States go on; afterwards it is told if it still fires, and never twice."""
    number = store.silence({"rule": "success_rate"}, START + HOUR, "ada", START)
    assert play(store, finding(W), GOOD, finding(W)) == ["firing warning", "-", "firing warning"]
    assert told(store) == []
    store.observe([finding(W)], START + HOUR - MINUTE)
    assert told(store) == []
    store.observe([finding(rule="other")], START + HOUR, complete=False)
    assert told(store) == [OPENED_W]
    assert store.silences(START + HOUR) == []
    with pytest.raises(IncidentError, match=f"no silence {number}: there is none at present"):
        store.unsilence(number, START + HOUR)
    again = store.silence({"rule": "success_rate"}, START + 9 * HOUR, "ada", START + HOUR)
    assert again > number
    store.observe([finding(C)], START + 2 * HOUR)
    assert told(store) == []
    store.unsilence(again, START + 2 * HOUR)
    store.observe([finding(C)], START + 2 * HOUR)  # a repeated round tells nothing, either
    assert told(store) == []
    store.observe([finding(C)], START + 3 * HOUR)
    assert told(store) == [ESCALATED]


def test_the_end_is_told_in_spite_of_a_silence(store: Incidents) -> None:
    """To those who were told the beginning."""
    play(store, finding(W))
    store.silence({"rule": "success_rate"}, START + 9 * HOUR, "ada", START + HOUR)
    store.observe([GOOD], START + 2 * HOUR)
    assert told(store) == [OPENED_W, RESOLVED_W]


@pytest.mark.parametrize(
    ("matcher", "covers"),
    [
        ({"rule": "success_rate"}, True),
        ({"rule": "success"}, False),
        ({"rule": "success*"}, True),
        ({"rule": "*"}, True),
        ({"rule": "*rate"}, False),
        ({"scope": "pool/main", "severity": "warning", "owner": "ops"}, True),
        ({"scope": "pool/main", "severity": "critical"}, False),
        ({"scope": "pool/*", "owner": "web"}, False),
        ({"tier": "large"}, True),
        ({"tier": "l*", "rule": "success_rate"}, True),
        ({"tier": ""}, False),
        ({"region": "*"}, False),
    ],
)
def test_what_a_silence_covers(store: Incidents, matcher: dict[str, str], covers: bool) -> None:
    """All of its pairs must be equal; a star at the end stands for anything."""
    number = store.silence(matcher, START + HOUR, "ada", START)
    assert store.silences(START) == [
        Silence(number=number, matcher=matcher, until=START + HOUR, by="ada", created_at=START)
    ]
    labels = {"tier": "large", "rule": "a label hides no rule"}
    play(store, finding(W, scope="pool/main", labels=labels))
    assert told(store) == ([] if covers else [OPENED_W])


def test_silences_that_are_refused(store: Incidents) -> None:
    """Of everything, in the past, and the end of one that there is not."""
    with pytest.raises(IncidentError, match="everything is refused: say what"):
        store.silence({}, START + HOUR, "ada", START)
    for until in (START, START - HOUR):
        with pytest.raises(IncidentError, match=r"has ended .*: name an instant that is to come"):
            store.silence({"rule": "a"}, until, "ada", START)
    assert store.silences(START - 2 * HOUR) == []
    numbers = [store.silence({"rule": "a"}, START + HOUR, "ada", START) for _ in range(2)]
    with pytest.raises(IncidentError, match=f"no silence 99: name one of {numbers[0]}, "):
        store.unsilence(99, START)
    store.unsilence(numbers[0], START)
    assert [silence.number for silence in store.silences(START)] == numbers[1:]


def test_silences_that_have_ended_are_removed(store: Incidents) -> None:
    """By the next round, or the next silence."""
    store.silence({"rule": "a"}, START + HOUR, "ada", START)
    store.silence({"rule": "b"}, START + 2 * HOUR, "ada", START)
    assert len(store.silences(START + HOUR - MINUTE)) == 2
    assert [one.matcher for one in store.silences(START + HOUR)] == [{"rule": "b"}]
    store.observe([], START + HOUR)
    assert [one.matcher for one in store.silences(START)] == [{"rule": "b"}]
    store.silence({"rule": "c"}, START + 9 * HOUR, "ada", START + 2 * HOUR)
    assert [one.matcher for one in store.silences(START)] == [{"rule": "c"}]
