"""The metrics over HTTP: each scrape reads what is published at that moment."""

from __future__ import annotations

import logging
import socket
import threading

import uvicorn
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from dbmon_pipeline.core.common.errors import DbmonError
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.outputs.prometheus.metrics import no_metrics, published_metrics

_SLOWEST_CLIENT_SECONDS = 10

logger = logging.getLogger(__name__)


class MetricsApp:
    """Web application of the metrics; a reason for having none is logged once."""

    def __init__(self, settings: Settings) -> None:
        """Read nothing yet."""
        self._settings = settings
        self._turn = threading.Lock()
        self._reason = ""

    def metrics(self) -> str:
        """Read the metrics, or say why there are none."""
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

    def app(self) -> Starlette:
        """Make the application with ``/metrics`` and ``/-/healthy``."""
        made = Starlette(
            routes=[Route("/metrics", self._metrics), Route("/-/healthy", _healthy)],
            exception_handlers={404: _not_found},
        )
        made.router.redirect_slashes = False
        return made

    def _metrics(self, _: Request) -> Response:
        """Answer a scrape, in a thread of its own."""
        return PlainTextResponse(self.metrics(), media_type=CONTENT_TYPE_PLAIN_0_0_4)


def serve_metrics(settings: Settings, listening: socket.socket) -> None:
    """Serve the metrics until interrupted.

    Args:
        settings: The home.
        listening: A socket that is bound to the address.

    Raises:
        KeyboardInterrupt: The server was interrupted.
    """
    config = uvicorn.Config(
        MetricsApp(settings).app(),
        log_level="error",
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_keep_alive=_SLOWEST_CLIENT_SECONDS,
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run([listening])


async def _healthy(_: Request) -> Response:
    return PlainTextResponse("healthy\n")


async def _not_found(_: Request, __: Exception) -> Response:
    return PlainTextResponse("there are /metrics and /-/healthy\n", 404)
