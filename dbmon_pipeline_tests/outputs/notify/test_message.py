"""What people read, word by word."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dbmon_pipeline.core.common.safe_text import plain
from dbmon_pipeline.core.config.rule import Severity
from dbmon_pipeline.core.incidents.incident import IncidentState, Kind
from dbmon_pipeline.outputs.notify.message import details, text, title, without_mentions, worst
from dbmon_pipeline_tests.outputs.notify.made import (
    HOUR,
    MINUTE,
    NOW,
    escalated,
    made_finding,
    made_incident,
    made_notification,
    resolved,
)

OPENED = """\
OPENED #12, warning: success_rate, model_tier=small
The success rate of small is 71.4 %, below 80 %
Value: 0.7143, must not be below 0.8 (1,234 samples)
Window: 2026-02-10 11:00 to 12:00 UTC
Since: 2026-02-10 11:55 UTC
What contributes most:
- timeout: 41
- rate limit: 7
What to do: RUNBOOK.md, section An alert rule warns
Owner: platform"""

ESCALATED = """\
ESCALATED #12, now critical: success_rate, model_tier=small
The success rate of small is 71.4 %, below 80 %
Value: 0.5, must not be below 0.8 (1,234 samples)
Window: 2026-02-10 11:00 to 12:00 UTC
Since: 2026-02-10 11:55 UTC
Taken on by: Ada
What contributes most:
- timeout: 41
- rate limit: 7
What to do: RUNBOOK.md, section An alert rule warns
Owner: platform"""

REMINDER = """\
REMINDER #12, warning: success_rate, model_tier=small
The success rate of small is 71.4 %, below 80 %
Value: 0.7143, must not be below 0.8 (1,234 samples)
Window: 2026-02-10 11:00 to 12:00 UTC
Since: 2026-02-10 11:55 UTC
Nobody has taken it on
What contributes most:
- timeout: 41
- rate limit: 7
What to do: RUNBOOK.md, section An alert rule warns
Owner: platform"""

RESOLVED = """\
RESOLVED #12, was critical: success_rate, model_tier=small
The success rate of small is 71.4 %, below 80 %
Value: 0.5, must not be below 0.8 (1,234 samples)
Window: 2026-02-10 11:00 to 12:00 UTC
Lasted: 1 h 25 min (2026-02-10 11:55 to 13:20 UTC)
Owner: platform"""


def test_what_each_kind_says() -> None:
    """The whole of it."""
    incident = made_incident()
    worse = escalated(incident, NOW)
    taken = replace(worse, state=IncidentState.ACKNOWLEDGED, acknowledged_by="Ada")
    over = resolved(worse, incident.opened_at + HOUR + 25 * MINUTE)
    for kind, told, said, headline in (
        (Kind.OPENED, incident, OPENED, "dbmon: OPENED, warning: success_rate"),
        (Kind.ESCALATED, taken, ESCALATED, "dbmon: ESCALATED, now critical: success_rate"),
        (Kind.REMINDER, incident, REMINDER, "dbmon: REMINDER, warning: success_rate"),
        (Kind.RESOLVED, over, RESOLVED, "dbmon: RESOLVED, was critical: success_rate"),
    ):
        group = [made_notification(kind, told)]
        assert text(group) == said
        assert title(group) == headline
    assert details(incident) == OPENED.split("\n", 1)[1]


def test_several_are_one_message() -> None:
    """The headlines come first, then each by itself."""
    incident = made_incident()
    worse = replace(escalated(incident, NOW), number=13)
    over = resolved(worse, incident.opened_at + HOUR + 25 * MINUTE)
    group = [
        made_notification(Kind.RESOLVED, replace(over, number=12)),
        made_notification(Kind.OPENED, incident),
        made_notification(Kind.OPENED, worse),
    ]
    assert title(group) == "dbmon: 2 opened, 1 resolved; the worst is critical"
    assert text(group) == "\n\n".join(
        (
            "- RESOLVED #12, was critical: success_rate, model_tier=small\n"
            "- OPENED #12, warning: success_rate, model_tier=small\n"
            "- OPENED #13, critical: success_rate, model_tier=small",
            RESOLVED,
            OPENED,
            text(group[2:]),
        )
    )
    assert worst(group) is Severity.CRITICAL
    assert worst(group[:2]) is Severity.WARNING
    assert worst(group[:1]) is None
    assert title(group[:1] * 2) == "dbmon: 2 resolved"


def test_very_many_are_not_all_told_at_length() -> None:
    """Nobody reads more; how many are left out is said."""
    group = [made_notification(incident=made_incident(number=n)) for n in range(1, 101)]
    said = text(group)
    assert said.count("\n- OPENED #") + 1 == 20
    assert "- OPENED #20, " in said
    assert "\n... and 80 more\n\nOPENED #1, " in said
    assert said.count("What to do: ") == 10
    assert said.endswith("Owner: platform\n\n... and 90 more")
    many = made_finding(contributors=tuple(f"error {n}" for n in range(9)))
    assert "- error 4\n... and 4 more\nWhat" in text(
        [made_notification(incident=made_incident(many))]
    )


def test_what_is_not_known_is_left_out() -> None:
    """No window, no limit, no value, no contributors."""
    finding = made_finding(
        value=None, samples=1, limit=None, window_start=None, window_end=None, contributors=()
    )
    assert details(made_incident(finding)).splitlines() == [
        "The success rate of small is 71.4 %, below 80 %",
        "Value: none (1 sample)",
        "Since: 2026-02-10 11:55 UTC",
        "What to do: RUNBOOK.md, section An alert rule warns",
        "Owner: platform",
    ]


@pytest.mark.parametrize(
    ("value", "limit", "said"),
    [
        (0.0, 1.0, "Value: 0, must not be above 1 ("),
        (12.3456, 10.0, "Value: 12.35, must not be above 10 ("),
        (1_234_567.8, 1_000_000.0, "Value: 1,234,568, must not be above 1,000,000 ("),
        (-3.5, -4.0, "Value: -3.5, must not be above -4 ("),
        (float("inf"), 4.0, "Value: inf, must not be above 4 ("),
    ],
)
def test_numbers_are_short(value: float, limit: float, said: str) -> None:
    """Four figures, and no exponent where there are more before the point."""
    finding = made_finding(value=value, limit=limit, direction="above")
    assert said in details(made_incident(finding))


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (timedelta(0), "0 s"),
        (timedelta(seconds=-3), "0 s"),
        (timedelta(seconds=45), "45 s"),
        (timedelta(minutes=5), "5 min"),
        (timedelta(minutes=5, seconds=2), "5 min 2 s"),
        (timedelta(hours=2, seconds=59), "2 h"),
        (timedelta(days=3, hours=4, minutes=5), "3 d 4 h"),
    ],
)
def test_how_long_it_lasted(length: timedelta, said: str) -> None:
    """The two largest units."""
    incident = made_incident()
    over = resolved(incident, incident.opened_at + length)
    assert f"\nLasted: {said} (2026-02-10 11:55 to " in details(over)


def test_a_day_is_told_where_it_changes() -> None:
    """A window over midnight has both dates."""
    finding = made_finding(window_start=NOW - 24 * HOUR, window_end=NOW)
    said = "\nWindow: 2026-02-09 12:00 to 2026-02-10 12:00 UTC\n"
    assert said in details(made_incident(finding))


def test_long_texts_are_cut() -> None:
    """To 200 characters each."""
    assert plain("x" * 200) == "x" * 200
    assert plain("x" * 201) == "x" * 199 + "…"
    long = made_finding(scope="s" * 1_000, contributors=("c" * 1_000,), summary="m" * 10_000)
    said = text([made_notification(incident=made_incident(long))])
    assert f", {'s' * 199}…\n" in said
    assert f"\n- {'c' * 199}…\n" in said
    assert len(said) < 1_200


def test_nobody_is_called_by_the_data() -> None:
    """Neither by a scope nor by a contributor, a summary, a name, or a rule."""
    bad = "<!channel> @everyone <@U123> @here\n@all"
    finding = made_finding(
        rule=bad, scope=bad, summary=bad, contributors=(bad,), owner=bad, runbook=bad
    )
    for kind in Kind:
        incident = made_incident(finding, acknowledged_by=bad)
        group = [made_notification(kind, incident)] * 2
        for said in (title(group[:1]), text(group), details(incident)):
            assert "\u200b" in said
            for opening in "@<":
                assert all(rest[0] == "\u200b" for rest in said.split(opening)[1:])
    assert without_mentions("<!channel> a@b") == "<\u200b!channel> a@\u200bb"
    assert plain("@\u200beveryone") == "@everyone"
