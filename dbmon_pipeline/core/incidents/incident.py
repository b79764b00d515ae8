"""Vocabulary of incidents: findings, states, silences and notifications."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from dbmon_pipeline.core.config.rule import Severity


class IncidentState(StrEnum):
    """State of an incident: the first four are open, the last one is final."""

    PENDING = "pending"
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RECOVERING = "recovering"
    RESOLVED = "resolved"


class Kind(StrEnum):
    """Kind of a notification."""

    OPENED = "opened"
    ESCALATED = "escalated"
    REMINDER = "reminder"
    RESOLVED = "resolved"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Finding of one evaluation about one scope of one rule, as incidents need it.

    Attributes:
        rule: The rule.
        scope: What was measured, ``all`` for everything.
        severity: How bad it is; None if it is not beyond a limit.
        is_known: Whether there was enough data to say so; if not, nothing changes.
        is_recovered: Whether the value is back by the recovery margin, too.
        evaluations: How many evaluations in a row it takes to fire, and to be over.
        summary: One sentence: what is wrong where, and how bad (value, limit, samples, window).
        value: The value, None if there is none.
        samples: How many executions it was made from.
        limit: The limit that is judged by, None if there is none.
        direction: On which side of the limit a value is wrong.
        window_start: From when on executions were looked at, naive UTC.
        window_end: Up to when, not included.
        contributors: What contributes most, a line each, the worst first.
        runbook: The section of RUNBOOK.md that says what to do.
        owner: Who looks after the rule.
        labels: More about the rule.
    """

    rule: str
    scope: str
    severity: Severity | None
    is_known: bool = True
    is_recovered: bool = True
    evaluations: int = 1
    summary: str
    value: float | None
    samples: int
    limit: float | None
    direction: Literal["below", "above"]
    window_start: datetime | None
    window_end: datetime | None
    contributors: tuple[str, ...] = ()
    runbook: str
    owner: str
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """The text that two findings of the same incident share."""
        return f"{self.rule}/{self.scope}"


@dataclass(frozen=True, kw_only=True)
class Incident:
    """Incident, with its state and its latest finding.

    Attributes:
        number: Its number, for people.
        state: Where it stands.
        severity: How bad it is now.
        worst: How bad it has been.
        opened_at: When it was first found, naive UTC.
        changed_at: When its state or its severity changed last.
        resolved_at: When it was over; None while it is open.
        acknowledged_by: Who has taken it on, if anybody has.
        finding: What the latest evaluation found.
    """

    number: int
    state: IncidentState
    severity: Severity
    worst: Severity
    opened_at: datetime
    changed_at: datetime
    resolved_at: datetime | None
    acknowledged_by: str | None
    finding: Finding


@dataclass(frozen=True, kw_only=True)
class Silence:
    """Silence that suspends the notifications of matching incidents for a while.

    Attributes:
        number: Its number, for people.
        matcher: What an incident must have: ``rule``, ``scope``, ``severity``, ``owner`` or a label
            of the rule, each with its value; one that ends in ``*`` is a prefix.
        until: When it ends, naive UTC.
        by: Who made it.
        created_at: When.
    """

    number: int
    matcher: Mapping[str, str]
    until: datetime
    by: str
    created_at: datetime

    def covers(self, incident: Incident) -> bool:
        """Tell whether an incident has all that the silence asks for."""
        finding = incident.finding
        has = {
            **finding.labels,
            "rule": finding.rule,
            "scope": finding.scope,
            "severity": incident.severity,
            "owner": finding.owner,
        }
        return all(
            key in has
            and (has[key].startswith(wanted[:-1]) if wanted.endswith("*") else has[key] == wanted)
            for key, wanted in self.matcher.items()
        )


@dataclass(frozen=True, kw_only=True)
class Notification:
    """Notification of an incident to one target.

    Attributes:
        number: Its place in the outbox.
        key: The same whenever it is sent again, so that a receiver can tell it from a new one.
        kind: Its kind.
        target: The name of the target in the rules file.
        created_at: When it was put there, naive UTC.
        attempts: How often sending it was tried before.
        last_error: Why the last attempt failed; None if there was none.
        is_given_up: Whether it will not be tried again.
        incident: The incident as it was then.
    """

    number: int
    key: str
    kind: Kind
    target: str
    created_at: datetime
    attempts: int
    last_error: str | None = None
    is_given_up: bool = False
    incident: Incident
