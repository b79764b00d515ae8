"""Made-up incidents and notifications, and a receiver that answers as it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from dbmon_pipeline.core.config.rule import Severity
from dbmon_pipeline.core.incidents.incident import (
    Finding,
    Incident,
    IncidentState,
    Kind,
    Notification,
)

NOW = datetime.fromisoformat("2026-02-10T12:00:30")
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def made_finding(**values: Any) -> Finding:
    """A bad success rate, with some of its values given."""
    usual: dict[str, Any] = {
        "rule": "success_rate",
        "scope": "model_tier=small",
        "severity": Severity.WARNING,
        "summary": "The success rate of small is 71.4 %, below 80 %",
        "value": 0.71428,
        "samples": 1_234,
        "limit": 0.8,
        "direction": "below",
        "window_start": NOW - HOUR - 30 * timedelta(seconds=1),
        "window_end": NOW - 30 * timedelta(seconds=1),
        "contributors": ("timeout: 41", "rate limit: 7"),
        "runbook": "An alert rule warns",
        "owner": "platform",
        "labels": {"team": "agents"},
    }
    return Finding(**{**usual, **values})


def made_incident(finding: Finding | None = None, **values: Any) -> Incident:
    """An incident that fires since five minutes ago, with some of its values given."""
    found = finding or made_finding()
    severity = values.get("severity", found.severity or Severity.WARNING)
    usual: dict[str, Any] = {
        "number": 12,
        "state": IncidentState.FIRING,
        "severity": severity,
        "worst": severity,
        "opened_at": NOW - 5 * MINUTE,
        "changed_at": NOW - 5 * MINUTE,
        "resolved_at": None,
        "acknowledged_by": None,
        "finding": found,
    }
    return Incident(**{**usual, **values})


def made_notification(
    kind: Kind = Kind.OPENED, incident: Incident | None = None, **values: Any
) -> Notification:
    """A notification to the target ``ops``, with some of its values given."""
    usual: dict[str, Any] = {
        "number": 1,
        "key": "5f0c",
        "kind": kind,
        "target": "ops",
        "created_at": NOW,
        "attempts": 0,
        "incident": incident or made_incident(),
    }
    return Notification(**{**usual, **values})


def resolved(incident: Incident, at: datetime) -> Incident:
    """The incident once it is over."""
    return replace(incident, state=IncidentState.RESOLVED, changed_at=at, resolved_at=at)


def escalated(incident: Incident, at: datetime) -> Incident:
    """The incident once it has become critical."""
    severity = Severity.CRITICAL
    finding = replace(incident.finding, severity=severity, value=0.5)
    return replace(incident, severity=severity, worst=severity, changed_at=at, finding=finding)


@dataclass(frozen=True)
class Received:
    """A request that came in; the names of headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A receiver on this machine.

    Attributes:
        port: Where it listens.
        requests: What came in.
        status: What it answers.
        headers: With which headers.
        manner: Whether it answers, stays silent, closes the connection, or goes on forever with
            the head or with the body of its answer.
        pause: How many seconds it takes to answer.
        refuses: What it answers 400 to, whatever it answers else.
    """

    port: int
    requests: list[Received] = field(default_factory=list)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    manner: Literal["answer", "hang", "close", "drip head", "drip body"] = "answer"
    pause: float = 0
    refuses: str | None = None
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Its root."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def events(self) -> list[Any]:
        """What the webhooks that came in tell of, one by one."""
        return [
            event
            for request in self.requests
            if request.method == "POST"
            for event in json.loads(request.body)["events"]
        ]


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """A receiver that ends with the block, at any port or at one that nobody listens on."""

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            super().handle_one_request()
            self.close_connection = True

        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            length = int(headers.get("content-length", 0))
            body = self.rfile.read(length)
            if len(body) < length:  # The sender was killed on the way.
                return
            receiver.requests.append(Received(self.command, self.path, headers, body))
            receiver.over.wait(20 if receiver.manner == "hang" else receiver.pause)
            if receiver.manner in ("hang", "close"):
                return
            is_refused = receiver.refuses is not None and receiver.refuses.encode() in body
            self.send_response(400 if is_refused else receiver.status)
            if receiver.manner == "drip head":
                self.flush_headers()
                while not receiver.over.wait(0.05):
                    self.wfile.write(b"X: x\r\n")
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b'{"text": "thanks"}')
            while receiver.manner == "drip body" and not receiver.over.wait(0.05):
                self.wfile.write(b"x" * 10)

        do_GET = do_POST  # noqa: N815 - the name is that of the method

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that has left is none."""

    server = Server(("127.0.0.1", port), Handler)
    receiver = Receiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
