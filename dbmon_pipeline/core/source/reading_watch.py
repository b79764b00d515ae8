"""A watch over readings of a live file: one whose state is gone, or that hangs, is ended.

A block that is overwritten while DuckDB decodes it, or that is damaged, can make the engine wait
without end and heed no interrupt: DuckDB 2.0 waits for a thread to bind a table's indexes although
that thread has failed. Only the end of the process helps then.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dbmon_pipeline.core.source.live_view import LiveView, ReadingThrownAwayError
from dbmon_pipeline.core.source.reader_protocol import ENGINE_BROKEN_EXIT

_LOOK_SECONDS = 2.0
_HANGS_AFTER_SECONDS = 120.0
"""A reading that has not asked for a byte for so long hangs."""
_INTERRUPTS = 10
_HEED_SECONDS = 1.0
"""Time to heed an interrupt; it is repeated, since one between two statements ends none."""


@contextmanager
def watched(view: LiveView, interrupt: Callable[[], None], *, seconds: float) -> Iterator[None]:
    """Interrupt the reading in this block if its state is gone or it hangs.

    If that does not end it, the process ends with :data:`ENGINE_BROKEN_EXIT`.

    Args:
        view: The state that is read.
        interrupt: Interrupts the statement that runs.
        seconds: For how long the reading is left alone.
    """
    ended = threading.Event()
    thread = threading.Thread(target=_watch, args=(view, interrupt, seconds, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _watch(
    view: LiveView, interrupt: Callable[[], None], seconds: float, ended: threading.Event
) -> None:
    bytes_read, read_at = view.bytes_read, time.monotonic()
    while not ended.wait(seconds):
        seconds = _LOOK_SECONDS
        if view.bytes_read != bytes_read:
            read_at = time.monotonic()
        if time.monotonic() - read_at > _HANGS_AFTER_SECONDS or not _holds(view):
            break
        bytes_read = view.bytes_read  # with what the look itself has read
    for _ in range(_INTERRUPTS):
        if ended.is_set():
            return
        interrupt()
        ended.wait(_HEED_SECONDS)
    if not ended.is_set():
        os._exit(ENGINE_BROKEN_EXIT)


def _holds(view: LiveView) -> bool:
    try:
        view.check()
    except (ReadingThrownAwayError, OSError):
        return False
    return True
