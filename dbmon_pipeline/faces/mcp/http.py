"""The MCP server over HTTP: who may reach it."""

from __future__ import annotations

import hmac
import ipaddress
import socket

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from dbmon_pipeline.core.common.errors import ConfigError
from dbmon_pipeline.core.common.listen import listening_socket
from dbmon_pipeline.core.config.settings import Settings

_LARGEST_REQUEST = 1024 * 1024


def check_address(host: str, port: int, token: str) -> None:
    """Check that the server may and can listen at an address.

    Raises:
        ConfigError: It can be reached from elsewhere and there is no token; or it cannot be used.
    """
    if not _is_loopback(host) and not token:
        raise ConfigError(
            f"{host} can be reached from other machines",
            remedy="set DBMON_MCP_TOKEN, which callers then bear, or listen at 127.0.0.1",
        )
    listening_socket(host, port).close()


def serve_http(server: MCPServer, settings: Settings, host: str, port: int, token: str) -> None:
    """Serve streamable HTTP at ``/mcp`` until interrupted.

    Args:
        server: The server.
        settings: Which other names the server has.
        host: The address to listen at.
        port: The port.
        token: What callers must bear; may be empty on this machine alone.
    """
    names = ["127.0.0.1", "localhost", "[::1]", *settings.config.mcp.allowed_hosts]
    if not _is_loopback(host):
        names += [host, socket.gethostname()]
    app: ASGIApp = server.streamable_http_app(
        host=host,
        stateless_http=True,
        json_response=True,
        max_request_body_size=_LARGEST_REQUEST,
        transport_security=TransportSecuritySettings(
            allowed_hosts=[f"{name}:{port}" for name in names],
            allowed_origins=[f"http://{name}:{port}" for name in names],
        ),
    )
    uvicorn.run(_Bearer(app, token) if token else app, host=host, port=port, log_level="warning")


class _Bearer:
    """Middleware that lets only those pass who bear the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._wanted = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._wanted):
                refusal = PlainTextResponse(
                    "bear the token of this server", 401, {"WWW-Authenticate": "Bearer"}
                )
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
