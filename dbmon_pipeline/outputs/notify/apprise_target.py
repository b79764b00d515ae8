"""Targets that Apprise has a URL for: chats, mail, pagers.

Apprise and what it uses write URLs into their logs, and in the URLs of chats is the secret: their
loggers are silent here. It is loaded when there is a target that needs it, for it is large.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dbmon_pipeline.core.common.errors import ConfigError, NotificationError
from dbmon_pipeline.core.config.rule import Severity
from dbmon_pipeline.core.incidents.incident import Incident, Notification
from dbmon_pipeline.outputs.notify.message import text, title, worst

if TYPE_CHECKING:
    from apprise import NotifyBase, NotifyType

_TALKATIVE = ("apprise", "urllib3", "requests", "requests_oauthlib", "oauthlib")
_RESOLVING = "map"
"""Name in Apprise's pagers for a success that resolves what a failure has triggered."""
_MOST_REFUSALS = 3
"""A pager that did not take so many incidents is asked no more: it may be the pager."""


class AppriseTarget:
    """Target with a URL of Apprise.

    Attributes:
        name: The name of the target.
    """

    def __init__(self, name: str, url: str, *, timeout: float) -> None:
        """Take what a target needs.

        Args:
            name: The name of the target.
            url: What Apprise calls a URL.
            timeout: Seconds for one message.

        Raises:
            ConfigError: Apprise has no service for the URL.
        """
        self.name = name
        self._url = url
        self._timeout = timeout
        self._service()

    def send(self, notifications: Sequence[Notification], at: datetime) -> None:  # noqa: ARG002
        """Tell of a group of notifications in one message, a pager of each incident by itself.

        Args:
            notifications: The group, the oldest first.
            at: The present instant, naive UTC; no message has it.

        Raises:
            NotificationError: The service did not take a message. That a pager did not take one
                keeps it only from the later ones of that incident.
        """
        service = self._service()
        if not _is_pager(service):
            self._send(service, notifications)
            return
        sent: list[int] = []
        errors: dict[int, NotificationError] = {}
        for notification in notifications:
            incident = notification.incident
            if incident.number in errors or len(errors) == _MOST_REFUSALS:
                continue
            pager: Any = self._service()  # a new one, for each waits between two messages
            pager.dedup = _dedup_key(incident)
            pager.action = _RESOLVING
            try:
                self._send(pager, [notification])
                sent.append(notification.number)
            except NotificationError as error:
                errors[incident.number] = error
        if errors:
            first = next(iter(errors.values()))
            raise NotificationError(first.args[0], remedy=first.remedy, notified=tuple(sent))

    def _service(self) -> NotifyBase:
        """Build Apprise's service for the URL.

        Raises:
            ConfigError: There is none.
        """
        _silence()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its many services load as many old modules
            try:
                from apprise import Apprise, AppriseAsset
                from apprise.common import OverflowMode

                asset = AppriseAsset(
                    app_id="dbmon",
                    app_desc="dbmon",
                    storage_mode="memory",
                    service_timeout=0,
                    allow_templates=False,
                    http_redirects=False,
                    interpret_emojis=False,
                    interpret_escapes=False,
                )
                service = Apprise.instantiate(self._url, asset=asset)
            except ImportError as error:
                raise ConfigError(
                    f"Apprise cannot be loaded for the target {self.name} ({error.name})",
                    remedy="install it with pip install apprise, or disable the target",
                ) from None
        if service is None:
            raise ConfigError(
                f"Apprise has no service for the URL of the target {self.name}",
                remedy="write it as https://appriseit.com/services/ shows it for the service",
            )
        # Those of the URL count where they are stricter: the whole message has its limit anyway.
        default = type(service)
        if service.socket_connect_timeout == default.socket_connect_timeout:
            service.socket_connect_timeout = self._timeout
        if service.socket_read_timeout == default.socket_read_timeout:
            service.socket_read_timeout = self._timeout
        if service.overflow_mode is OverflowMode.UPSTREAM:
            # In parts a message would take seconds between them, and be sent again as a whole.
            service.overflow_mode = OverflowMode.TRUNCATE
        return service

    def _send(self, service: NotifyBase, notifications: Sequence[Notification]) -> None:
        from apprise import Apprise, AppriseResultStatus, NotifyFormat

        result = Apprise(service, asset=service.asset).notify(
            body=text(notifications),
            title=title(notifications),
            notify_type=_type(notifications),
            body_format=NotifyFormat.TEXT.value,
            interpret_escapes=False,
            timeout=self._timeout,
        )
        if result:
            return
        who = f"{service.service_name}, the target {self.name},"
        if result.status is AppriseResultStatus.TIMEOUT:
            raise NotificationError(
                f"{who} did not answer within {self._timeout:g} s",
                remedy="see whether the service works, or give it more time",
            )
        raise NotificationError(
            f"{who} did not take the message",
            remedy="see that its URL is right, for instance with the command apprise, and that this"
            " machine may reach the service",
        )


def _silence() -> None:
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _is_pager(service: NotifyBase) -> bool:
    """Tell whether a service knows incidents by a key and can resolve them, as PagerDuty does."""
    argument: Any = service.template_args.get("action", {})
    actions = argument.get("values", ())
    return hasattr(service, "dedup") and _RESOLVING in actions


def _dedup_key(incident: Incident) -> str:
    """Build a key of one incident, which no other one of any installation has."""
    identity = f"{incident.number} {incident.opened_at} {incident.finding.fingerprint}"
    return f"dbmon-{incident.number}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def _type(notifications: Sequence[Notification]) -> NotifyType:
    from apprise import NotifyType

    types = {
        Severity.CRITICAL: NotifyType.FAILURE,
        Severity.WARNING: NotifyType.WARNING,
        None: NotifyType.SUCCESS,
    }
    return types[worst(notifications)]
