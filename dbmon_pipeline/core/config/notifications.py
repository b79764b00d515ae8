"""Targets of notifications, as in the rules file. Secrets are named there, never written."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from dbmon_pipeline.core.config.rule import Severity
from dbmon_pipeline.core.config.section import Positive, Section


class TargetConfig(Section, frozen=True):
    """Target that is notified of incidents.

    Attributes:
        kind: ``apprise`` for whatever Apprise has a URL for, ``webhook`` for a signed POST of JSON,
            ``alertmanager`` for Prometheus' Alertmanager (API v2).
        url: Where it is. Leave it out if the URL itself is a secret.
        url_env: The environment variable that has the URL.
        url_file: The file that has the URL.
        secret_env: The environment variable that has the secret which a webhook is signed with.
        secret_file: The file that has it.
        severities: The severities that it is notified of.
        owners: The owners of the rules that it is notified of; all if there are none.
        timeout_seconds: How long one request may take.
        enabled: Whether it is notified at all.
    """

    kind: Literal["apprise", "webhook", "alertmanager"]
    url: str | None = None
    url_env: str | None = None
    url_file: str | None = None
    secret_env: str | None = None
    secret_file: str | None = None
    severities: tuple[Severity, ...] = (Severity.WARNING, Severity.CRITICAL)
    owners: tuple[str, ...] = ()
    timeout_seconds: Annotated[float, Meta(gt=0, le=60)] = 10
    enabled: bool = True

    def __post_init__(self) -> None:
        """Refuse what could never be sent."""
        if sum(given is not None for given in (self.url, self.url_env, self.url_file)) != 1:
            raise ValueError("a target has one of url, url_env and url_file")
        if self.secret_env is not None and self.secret_file is not None:
            raise ValueError("a target has either secret_env or secret_file")
        is_signed = self.secret_env is not None or self.secret_file is not None
        if is_signed != (self.kind == "webhook"):
            raise ValueError("a webhook has a secret_env or a secret_file, no other target has")


class Notifications(Section, frozen=True):
    """Settings of notifications.

    Attributes:
        targets: The targets, by name.
        reminder_hours: How long after a notification of an incident it is notified again, while
            nobody has acknowledged it.
        attempts: How often a notification is tried before it is given up and becomes an incident.
        heartbeat_url: Called after each healthy refresh, so that an outside watchdog notices when
            this pipeline has died itself.
    """

    targets: dict[str, TargetConfig] = msgspec.field(default_factory=dict)
    reminder_hours: Annotated[float, Meta(gt=0)] = 24
    attempts: Positive = 10
    heartbeat_url: str | None = None
