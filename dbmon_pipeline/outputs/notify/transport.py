"""HTTP request: a limit for the whole of it, no redirect, and no secret in what is said of it.

A URL may be a secret itself. Of the receiver's URL nothing is ever said, and of the one that it
redirects to only the host.
"""

from __future__ import annotations

import http
import ssl
import threading
from collections.abc import Mapping
from email.message import Message
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from dbmon_pipeline.core.common.errors import NotificationError
from dbmon_pipeline.core.common.safe_text import plain

_LARGEST_ANSWER = 64 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)


def url_fault(url: str) -> str | None:
    """Return why a URL cannot be asked, None if it can; the URL does not stand in it."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return "has characters that must be percent-encoded"
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname)
        _ = parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("http", "https"):
        return "does not begin with http:// or https://"
    if not has_host:
        return "names no host"
    if parts.username is not None or parts.password is not None:
        return "has a user or a password in it"
    return None


def request(
    method: str,
    url: str,
    *,
    who: str,
    timeout: float,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Make one request; anything but a 2xx is an error.

    Args:
        method: The HTTP method.
        url: One that :func:`url_fault` finds nothing wrong with.
        who: What the receiver is called in an error.
        timeout: Seconds for all of it: names, connection, request, and the answer's head.
        body: What is sent.
        headers: With which headers, besides the usual ones.

    Raises:
        NotificationError: The receiver could not be reached, did not answer in time, or answered
            anything else.
    """
    made = Request(url, body, {"User-Agent": "dbmon", **(headers or {})}, method=method)  # noqa: S310 - url_fault
    outcomes: list[int | Exception] = []
    # The timeout of a socket is for each of its steps: only a thread bounds them all together.
    worker = threading.Thread(target=_work, args=(made, timeout, outcomes), daemon=True)
    worker.start()
    worker.join(timeout)
    match outcomes[0] if outcomes else TimeoutError():
        case TimeoutError():
            raise NotificationError(
                f"{who} did not answer within {timeout:g} s",
                remedy="see whether the receiver works, or give it more time",
            )
        case HTTPError(code=status, headers=answer) if status in _REDIRECTS:
            raise NotificationError(
                f"{who} answered {status} and points to {_place(answer.get('Location'))},"
                " which is not followed",
                remedy="give the URL where it is now",
            )
        case int(status) | HTTPError(code=status) if not 200 <= status < 300:
            raise NotificationError(
                f"{who} answered {_phrase(status)}",
                remedy="see that its URL and its secret are right, and what the receiver says of"
                " it",
            )
        case Exception() as error:
            raise NotificationError(
                f"{who} could not be reached ({_said(error)})",
                remedy="see whether the receiver is up, and whether this machine may reach it",
            )


class _NoRedirect(HTTPRedirectHandler):
    """Redirect handler that follows none: what is signed is for the one who is configured."""

    def http_error_302(
        self,
        req: Request,  # noqa: ARG002
        fp: IO[bytes],  # noqa: ARG002
        code: int,  # noqa: ARG002
        msg: str,  # noqa: ARG002
        headers: Message,  # noqa: ARG002
    ) -> None:
        """Do not even read where it leads; without a response this is an error like others."""
        return

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _work(made: Request, timeout: float, outcomes: list[int | Exception]) -> None:
    """Make a request, and append its status or its error; only the first outcome counts."""
    try:
        with build_opener(_NoRedirect).open(made, timeout=timeout) as response:
            outcomes.append(response.status)
            response.read(_LARGEST_ANSWER)  # if that fails, it has been taken all the same
    except HTTPError as error:
        error.close()
        outcomes.append(error)
    except URLError as error:
        outcomes.append(error.reason if isinstance(error.reason, Exception) else error)
    except Exception as error:
        outcomes.append(error)


def _said(error: Exception) -> str:
    """Describe an error in the system's own words, for a library's may have the URL in them."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate: {plain(error.verify_message)}"
    if isinstance(error, OSError) and error.strerror and error.errno is not None:
        return plain(error.strerror)
    return type(error).__name__


def _place(location: str | None) -> str:
    try:
        parts = urlsplit(location or "")
        if parts.hostname:
            return f"the host {plain(parts.hostname)}"
    except ValueError:
        pass
    return "another path"


def _phrase(status: int) -> str:
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
