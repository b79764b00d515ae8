"""Sockets that servers listen at."""

from __future__ import annotations

import socket

from dbmon_pipeline.core.common.errors import ConfigError


def listening_socket(host: str, port: int) -> socket.socket:
    """Bind a socket to an address, so that it is known to be free before a server starts.

    Args:
        host: A name or an address.
        port: The port.

    Raises:
        ConfigError: The address cannot be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
        except OSError:
            made.close()
            raise
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"{host} port {port} cannot be used ({getattr(error, 'strerror', 'no host name')})",
            remedy="name another with --host and --port",
        ) from None
    return made
