"""The metrics over HTTP: each scrape reads what is published at that moment."""

from __future__ import annotations

import logging
import socket
import socketserver
import threading
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import cast
from urllib.parse import urlsplit

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from dbmon_pipeline.core.common.errors import ConfigError, DbmonError
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.outputs.prometheus.metrics import no_metrics, published_metrics

_SLOWEST_CLIENT_SECONDS = 10
_Request = socket.socket | tuple[bytes, socket.socket]  # the latter is one of UDP
_PLAIN = "text/plain; charset=utf-8"

logger = logging.getLogger(__name__)


class MetricsServer(socketserver.ThreadingTCPServer):
    """Serves ``/metrics`` and ``/-/healthy`` while :meth:`serve_forever` runs."""

    allow_reuse_address = True

    def __init__(self, settings: Settings, host: str, port: int) -> None:
        """Listen.

        Args:
            settings: The home.
            host: The address to listen at.
            port: The port.

        Raises:
            ConfigError: The address cannot be used.
        """
        self._settings = settings
        self._turn = threading.Lock()
        self._reason = ""
        self._connections: set[_Request] = set()
        try:
            family, _, _, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            self.address_family = family
            super().__init__(cast(tuple[str, int], address[:2]), _Handler)
        except (OSError, UnicodeError) as error:
            raise ConfigError(
                f"{host} port {port} cannot be used ({getattr(error, 'strerror', 'no host name')})",
                remedy="name another with --host and --port",
            ) from None

    def metrics(self) -> str:
        """What a scrape gets: the metrics, or why there are none, which is logged once."""
        with self._turn:
            try:
                text, reason = published_metrics(self._settings), ""
            except DbmonError as error:
                reason = str(error)
            except Exception as error:
                reason = " ".join(f"unexpected {type(error).__name__} {error}".split())[:300]
            if reason:
                text = no_metrics(reason)
            if reason and reason != self._reason:
                logger.warning("%s", reason)
            self._reason = reason
            return text

    def process_request(self, request: _Request, client_address: object) -> None:
        """Remember a connection for as long as it is served."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: _Request) -> None:
        """Forget it."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """End with no thread that still waits for a slow client: Python aborts of that."""
        for connection in [*self._connections]:
            with suppress(OSError):
                cast(socket.socket, connection).shutdown(socket.SHUT_RDWR)
        super().server_close()

    def handle_error(self, *_: object) -> None:
        """A client that has left is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: MetricsServer
    server_version = "dbmon"
    sys_version = ""
    timeout = _SLOWEST_CLIENT_SECONDS

    def do_GET(self) -> None:
        try:
            path = urlsplit(self.path).path
        except ValueError:
            self._answer(HTTPStatus.BAD_REQUEST, _PLAIN, "that is no address\n")
            return
        match path:
            case "/metrics":
                self._answer(HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, self.server.metrics())
            case "/-/healthy":
                self._answer(HTTPStatus.OK, _PLAIN, "healthy\n")
            case _:
                self._answer(HTTPStatus.NOT_FOUND, _PLAIN, "there are /metrics and /-/healthy\n")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing of a scrape."""
