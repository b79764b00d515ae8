"""The targets of the rules file as what can be sent to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from dbmon_pipeline.core.common.errors import ConfigError, NotificationError
from dbmon_pipeline.core.config.notifications import Notifications, TargetConfig
from dbmon_pipeline.core.incidents.incident import Notification
from dbmon_pipeline.outputs.notify.alertmanager import Alertmanager
from dbmon_pipeline.outputs.notify.apprise_target import AppriseTarget
from dbmon_pipeline.outputs.notify.secrets import secret_of, url_of
from dbmon_pipeline.outputs.notify.webhook import Webhook


class Target(Protocol):
    """Target that can be told of incidents.

    Attributes:
        name: Its name in the rules file.
    """

    name: str

    def send(self, notifications: Sequence[Notification], at: datetime) -> None:
        """Tell of a group of notifications.

        Args:
            notifications: The group, the oldest first.
            at: The present instant, naive UTC.

        Raises:
            NotificationError: It could not be told.
        """


class InvalidTarget:
    """A target that cannot be built: telling it fails with the reason.

    Attributes:
        name: The name of the target.
        error: Why it cannot be built.
    """

    def __init__(self, name: str, error: ConfigError) -> None:
        """Keep the reason."""
        self.name = name
        self.error = error

    def send(self, notifications: Sequence[Notification], at: datetime) -> None:  # noqa: ARG002
        """Fail.

        Args:
            notifications: What nobody is told of.
            at: The present instant.

        Raises:
            NotificationError: Always.
        """
        raise NotificationError(self.error.args[0], remedy=self.error.remedy)


def target(name: str, config: TargetConfig, environ: Mapping[str, str]) -> Target:
    """Build a target.

    Args:
        name: Its name.
        config: What the rules file says about it.
        environ: The environment, for its URL and its secret.

    Raises:
        ConfigError: The URL or the secret is missing or cannot be one.
    """
    url = url_of(name, config, environ)
    timeout = config.timeout_seconds
    if config.kind == "webhook":
        return Webhook(name, url, secret_of(name, config, environ), timeout=timeout)
    if config.kind == "alertmanager":
        return Alertmanager(
            name, url, timeout=timeout, severities=config.severities, owners=config.owners
        )
    return AppriseTarget(name, url, timeout=timeout)


def targets(config: Notifications, environ: Mapping[str, str]) -> dict[str, Target]:
    """Build the enabled targets by name; one that cannot be built is :class:`InvalidTarget`.

    Args:
        config: The section of the rules file.
        environ: The environment, for URLs and secrets.
    """
    built: dict[str, Target] = {}
    for name, section in config.targets.items():
        if section.enabled:
            try:
                built[name] = target(name, section, environ)
            except ConfigError as error:
                built[name] = InvalidTarget(name, error)
    return built
