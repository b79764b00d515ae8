"""The loop of the reader process: requests come in on stdin, replies go out on stdout.

Standard output is the protocol's alone: what anything else prints goes to stderr. The process ends
as soon as its stdin closes, even in the middle of a request, so it never outlives its parent.
Ctrl-C is for the parent to decide upon.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

from dbmon_pipeline.core.common.errors import ReaderError
from dbmon_pipeline.core.source.reader_protocol import (
    ENGINE_BROKEN_EXIT,
    EngineBrokenError,
    Reply,
    Request,
    decode_request,
    describe_error,
    encode_line,
    sendable,
)

Progress = Callable[[str], None]
"""Tells whoever waits for a request how far it is."""

Handler = Callable[[dict[str, Any], Progress], Any]
"""Answers a request, by its parameters, with something that msgspec can encode as JSON."""


def serve(handlers: Mapping[str, Handler]) -> None:
    """Answer requests until stdin closes, one after the other; the process ends then.

    Args:
        handlers: What answers each request, by its name.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # it writes to a terminal from the background
    requests, replies = _take_over_standard_streams()
    if _is_debugging():
        faulthandler.enable(2)
    lines: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_read_ahead, args=(requests, lines), daemon=True).start()
    write = _writer(replies)
    while True:
        request = decode_request(lines.get())
        write(_answer(request, handlers, write))


def _take_over_standard_streams() -> tuple[int, int]:
    """Keep stdin and stdout for the protocol.

    Returns:
        Descriptors of requests and of replies that nothing else knows.
    """
    try:
        os.fstat(2)
    except OSError:
        os.open(os.devnull, os.O_WRONLY)  # the lowest free number, since 0 and 1 are pipes
    requests, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return requests, replies


def _read_ahead(requests: int, lines: SimpleQueue[bytes]) -> None:
    """Pass on the lines of requests, and end the process when there will be no more."""
    with open(requests, "rb") as stream:
        for line in stream:
            if line.endswith(b"\n"):
                lines.put(line)
        os._exit(0)


def _writer(replies: int) -> Callable[[bytes], None]:
    """Make a function that writes whole lines, from whichever thread."""
    lock = threading.Lock()

    def write(line: bytes) -> None:
        remaining = memoryview(line)
        with lock:
            try:
                while remaining:
                    remaining = remaining[os.write(replies, remaining) :]
            except BrokenPipeError:
                os._exit(0)

    return write


def _answer(
    request: Request, handlers: Mapping[str, Handler], write: Callable[[bytes], None]
) -> bytes:
    """Work on a request, and encode its result or its error."""

    def progress(text: str) -> None:
        write(encode_line(Reply(request.id, progress=sendable(text))))

    try:
        handler = handlers.get(request.request)
        if handler is None:
            raise ReaderError(
                f"the reader process knows no request {request.request!r}",
                remedy="install the same version of dbmon_pipeline everywhere and start again",
            )
        return encode_line(Reply(request.id, result=handler(request.params, progress)))
    except EngineBrokenError:  # its death counts as a reading thrown away
        os._exit(ENGINE_BROKEN_EXIT)
    except Exception as error:
        if _is_debugging():
            traceback.print_exc()
        return encode_line(Reply(request.id, error=describe_error(error)))


def _is_debugging() -> bool:
    return bool(os.environ.get("DBMON_DEBUG"))
