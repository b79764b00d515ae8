"""A signed POST of JSON to whoever wants to make something of it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec

from dbmon_pipeline.core.common.instants import iso
from dbmon_pipeline.core.common.safe_text import plain
from dbmon_pipeline.core.incidents.incident import Notification
from dbmon_pipeline.outputs.notify.transport import request

_VERSION = 1
_LONGEST_HEADER = 4_000
_LONGEST_SUMMARY = 500


class Webhook:
    """Webhook: a URL, and the secret that its requests are signed with.

    Attributes:
        name: The name of the target.
    """

    def __init__(self, name: str, url: str, secret: str, *, timeout: float) -> None:
        """Take what a target needs.

        Args:
            name: The name of the target.
            url: Where to post.
            secret: What to sign with.
            timeout: Seconds for one request.
        """
        self.name = name
        self._url = url
        self._secret = secret
        self._timeout = timeout

    def send(self, notifications: Sequence[Notification], at: datetime) -> None:
        """Tell of a group of notifications in one request.

        Args:
            notifications: The group.
            at: The present instant, naive UTC; receivers compare it with their own.

        Raises:
            NotificationError: The receiver did not answer with a 2xx.
        """
        body = msgspec.json.encode(
            {
                "version": _VERSION,
                "sent_at": iso(at),
                "events": [_event(notification) for notification in notifications],
            }
        )
        timestamp = str(int(at.replace(tzinfo=UTC).timestamp()))
        request(
            "POST",
            self._url,
            who=f"the webhook {self.name}",
            timeout=self._timeout,
            body=body,
            headers={
                "Content-Type": "application/json",
                "Dbmon-Event-Id": _ids(notifications),
                "Dbmon-Timestamp": timestamp,
                "Dbmon-Signature": f"v1={signature(self._secret, timestamp, body)}",
            },
        )


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Sign a body with its time, to prove both: HMAC-SHA256 in hexadecimal."""
    signed = timestamp.encode() + b"." + body
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def _ids(notifications: Sequence[Notification]) -> str:
    """Join keys as far as a header may be long; the body has all of them."""
    header = ""
    for notification in notifications:
        key = quote(notification.key, safe="/:#=+@ ")  # of the data it may have a scope in it
        longer = f"{header},{key}" if header else key
        if len(longer) > _LONGEST_HEADER:
            break
        header = longer
    return header


def _event(notification: Notification) -> dict[str, object]:
    incident = notification.incident
    finding = incident.finding
    return {
        "id": notification.key,
        "kind": notification.kind,
        "incident": incident.number,
        "state": incident.state,
        "severity": incident.severity,
        "opened_at": iso(incident.opened_at),
        "resolved_at": _instant(incident.resolved_at),
        "rule": finding.rule,
        "scope": plain(finding.scope),
        "summary": plain(finding.summary, _LONGEST_SUMMARY),
        "value": finding.value,  # one that is not finite becomes null
        "samples": finding.samples,
        "limit": finding.limit,
        "direction": finding.direction,
        "window_start": _instant(finding.window_start),
        "window_end": _instant(finding.window_end),
        "contributors": [plain(line) for line in finding.contributors],
        "runbook": finding.runbook,
        "owner": finding.owner,
        "labels": {name: plain(value) for name, value in finding.labels.items()},
    }


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else iso(instant)
