"""Delivery: what lies in the outbox goes to its targets, whichever of them fail.

A target that fails keeps nobody else from being told. What is given up is an incident itself, so
that the other targets tell of the one that is silent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dbmon_pipeline.core.common.errors import ConfigError, NotificationError
from dbmon_pipeline.core.config.rule import Severity
from dbmon_pipeline.core.incidents.incident import Finding, Incident, Notification, Silence
from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline.outputs.notify.alertmanager import Alertmanager
from dbmon_pipeline.outputs.notify.targets import InvalidTarget, Target

RULE = "_notifications"
"""The rule of the incidents that tell of notifications; their scope is the target."""

_RUNBOOK = "Notifications do not arrive"
_OWNER = "monitoring"
_LONGEST_SEND = timedelta(minutes=2)
"""Twice the longest timeout that a target may have: Alertmanager is asked twice."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Result of delivering the outbox.

    Attributes:
        sent: How many notifications were sent.
        failed: How many were not.
        given_up: How many of those will not be tried again.
        errors: A line for each target that failed, without a secret in it.
    """

    sent: int
    failed: int
    given_up: int
    errors: tuple[str, ...]


def deliver(
    incidents: Incidents,
    targets: Mapping[str, Target],
    at: datetime,
    clock: Callable[[], datetime],
) -> Delivery:
    """Send what is due, and tell the Alertmanagers again what is open.

    Args:
        incidents: The incident store.
        targets: The targets by name.
        at: Up to when things are due, naive UTC.
        clock: Tells the present instant, naive UTC.

    Raises:
        IncidentError: The incident store cannot be used.
    """
    due = incidents.due(at, lease=_LONGEST_SEND * (len(targets) + 1))
    sent = failed = 0
    given_up: dict[str, list[Notification]] = {}
    errors: dict[str, str] = {}
    working: set[str] = set()
    for name, group in due.items():
        target = targets.get(name) or _missing(name)
        failure = _failure(lambda: target.send(group, clock()))  # noqa: B023 - called at once
        numbers = [notification.number for notification in group]
        delivered = numbers if failure is None else failure.notified
        if delivered:
            incidents.sent(delivered, clock())
            sent += len(delivered)
        if failure is None:
            working.add(name)
            continue
        errors[name] = str(failure)
        left = [number for number in numbers if number not in delivered]
        failed += len(left)
        if gone := incidents.failed(left, clock(), errors[name]):
            given_up[name] = gone
    still_open = incidents.open_incidents()
    silences = incidents.silences(at)
    firing = [incident for incident in still_open if not _is_silent(incident, silences)]
    for name, target in targets.items():
        if isinstance(target, Alertmanager) and name not in errors:
            if failure := _failure(lambda: target.resend(firing, clock())):  # noqa: B023 - as above
                errors[name] = str(failure)
            else:
                working.add(name)
    findings = [_given_up(name, gone, errors[name]) for name, gone in given_up.items()]
    findings += _working_again(still_open, targets, working - errors.keys(), errors)
    if findings:
        incidents.observe(findings, clock(), complete=False)
    return Delivery(
        sent=sent,
        failed=failed,
        given_up=sum(len(gone) for gone in given_up.values()),
        errors=tuple(f"{name}: {error}" for name, error in errors.items()),
    )


def _missing(name: str) -> InvalidTarget:
    error = ConfigError(
        f"there is no target {name} that is enabled",
        remedy=f"put it back as notifications.targets.{name}; what was for it is lost otherwise",
    )
    return InvalidTarget(name, error)


def _failure(work: Callable[[], None]) -> NotificationError | None:
    """Return why work failed, None if it did not. A stranger's words may have a secret in them."""
    try:
        work()
    except NotificationError as error:
        return error
    except Exception as error:
        return NotificationError(
            f"sending failed unexpectedly ({type(error).__name__})",
            remedy="see what the receiver says of it",
        )
    return None


def _is_silent(incident: Incident, silences: Sequence[Silence]) -> bool:
    """Tell whether an incident is silenced; one that fired before goes on, for it is not over."""
    return any(
        silence.covers(incident) and silence.created_at < incident.changed_at
        for silence in silences
    )


def _given_up(name: str, gone: Sequence[Notification], error: str) -> Finding:
    count = f"{len(gone)} notification{'' if len(gone) == 1 else 's'}"
    return _finding(
        name,
        Severity.CRITICAL,
        f"The target {name} was not told: {count} given up; {error}",
        value=len(gone),
        contributors=tuple(
            f"{notification.kind} #{notification.incident.number}"
            f" {notification.incident.finding.fingerprint}"
            for notification in gone
        ),
    )


def _working_again(
    still_open: Sequence[Incident],
    targets: Mapping[str, Target],
    working: set[str],
    errors: Mapping[str, str],
) -> list[Finding]:
    """List targets that work again or are none any more, if open incidents still say otherwise."""
    findings = []
    for incident in still_open:
        name = incident.finding.scope
        if incident.finding.rule == RULE:
            if name in working:
                findings.append(_finding(name, None, f"The target {name} is told again"))
            elif name not in targets and name not in errors:
                findings.append(_finding(name, None, f"The target {name} is no longer to be told"))
    return findings


def _finding(
    name: str,
    severity: Severity | None,
    summary: str,
    *,
    value: float = 0,
    contributors: tuple[str, ...] = (),
) -> Finding:
    return Finding(
        rule=RULE,
        scope=name,
        severity=severity,
        is_recovered=severity is None,
        summary=summary,
        value=value,
        samples=int(value),
        limit=0,
        direction="above",
        window_start=None,
        window_end=None,
        contributors=contributors,
        runbook=_RUNBOOK,
        owner=_OWNER,
    )
