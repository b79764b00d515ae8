"""A trial: a target is told of an incident that is none."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime

from dbmon_pipeline.core.common.errors import ConfigError
from dbmon_pipeline.core.config.notifications import Notifications
from dbmon_pipeline.core.config.rule import Severity
from dbmon_pipeline.core.incidents.incident import (
    Finding,
    Incident,
    IncidentState,
    Kind,
    Notification,
)
from dbmon_pipeline.outputs.notify.targets import target


def send_trial(name: str, config: Notifications, environ: Mapping[str, str], at: datetime) -> None:
    """Tell a target of an incident that opens and is over, whatever it is told of otherwise.

    Args:
        name: The target.
        config: The targets there are.
        environ: The environment, for its URL and its secret.
        at: The present instant, naive UTC.

    Raises:
        ConfigError: There is no such target, or its URL or secret is missing.
        NotificationError: It could not be told.
    """
    if name not in config.targets:
        known = ", ".join(config.targets) or "none; name some under notifications.targets"
        raise ConfigError(f"there is no target {name!r}", remedy=f"the targets are {known}")
    finding = Finding(
        rule="test",
        scope="all",
        severity=Severity.WARNING,
        summary="This is a test of dbmon; nothing is wrong",
        value=None,
        samples=0,
        limit=None,
        direction="above",
        window_start=None,
        window_end=None,
        runbook="Testing a target",
        owner="monitoring",
    )
    sender = target(name, config.targets[name], environ)
    for kind in (Kind.OPENED, Kind.RESOLVED):
        is_over = kind is Kind.RESOLVED
        incident = Incident(
            number=0,
            state=IncidentState.RESOLVED if is_over else IncidentState.FIRING,
            severity=Severity.WARNING,
            worst=Severity.WARNING,
            opened_at=at,
            changed_at=at,
            resolved_at=at if is_over else None,
            acknowledged_by=None,
            finding=finding,
        )
        notification = Notification(
            number=0,
            key=uuid.uuid4().hex,
            kind=kind,
            target=name,
            created_at=at,
            attempts=0,
            incident=incident,
        )
        sender.send([notification], at)
