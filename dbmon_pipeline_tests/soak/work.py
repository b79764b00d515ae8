"""A refresh in a process of its own, to be killed or to run out of disk."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from dbmon_pipeline.core.common.errors import DbmonError
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline_tests import helpers

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])
_PATIENCE_SECONDS = 120.0
_POLL_SECONDS = 0.005


class Victim(StrEnum):
    """Which processes of a refresh are killed."""

    TREE = "tree"
    PARENT = "parent"
    READER = "reader"


class Work:
    """A refresh at work, in a process that has everything imported.

    Attributes:
        began: When its work began.
        error: What it ended with, if it did and that was an error.
        reader: The number of its reader process, once that was seen.
    """

    def __init__(
        self,
        settings: Settings,
        as_of: datetime,
        first: Callable[[], None] | None = None,
        **request: Any,
    ) -> None:
        """Start it, and wait until its work begins.

        Args:
            settings: The source and the home.
            as_of: The instant of the refresh.
            first: Called in that process when its work begins.
            request: What else is asked for.

        Raises:
            AssertionError: It ended before.
        """
        self._answers, answering = _FORKS.Pipe(duplex=False)
        arguments = (settings, as_of, first, request, answering)
        self._process = _FORKS.Process(target=_work, args=arguments)
        self._process.start()
        answering.close()
        assert self._answers.poll(_PATIENCE_SECONDS)
        assert self._answers.recv() == "begun"
        self.began = time.monotonic()
        self.error = ""
        self.reader: int | None = None

    def kill_after(self, seconds: float, victim: Victim = Victim.TREE) -> float | None:
        """Kill it after a time.

        Returns:
            None if it was still at work; else how long that had taken.
        """
        is_done = self._answers.poll(seconds)
        lasted = time.monotonic() - self.began
        pid = self._process.pid
        assert pid
        readers = _children(pid)
        while victim == Victim.READER and not readers and not self._answers.poll(_POLL_SECONDS):
            readers = _children(pid)
        self.reader = readers[0] if readers else None
        if victim != Victim.READER and not is_done:
            self._process.kill()
        if victim != Victim.PARENT and self.reader:
            with suppress(ProcessLookupError):
                os.kill(self.reader, signal.SIGKILL)
        if victim == Victim.READER:
            self.end()
            return lasted if is_done else None
        self._process.join()
        try:
            self.error = self._answers.recv()
        except EOFError:
            return None
        finally:
            self._answers.close()
        return lasted

    def end(self) -> tuple[float, str]:
        """Let it end; get how long it took, and the error that it ended with, if any."""
        assert self._answers.poll(_PATIENCE_SECONDS)
        self.error = self._answers.recv()
        seconds = time.monotonic() - self.began
        self._process.join()
        self._answers.close()
        return seconds, self.error

    def reader_has_ended(self, patience_seconds: float) -> bool:
        """Tell whether its reader process, if it had one, ends within some time."""
        deadline = time.monotonic() + patience_seconds
        while self.reader and _is_running(self.reader):
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True


def _children(pid: int) -> list[int]:
    """List the processes that a process has started."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, path.read_text().split())
    return found


def _is_running(pid: int) -> bool:
    """Tell whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _work(
    settings: Settings,
    as_of: datetime,
    first: Callable[[], None] | None,
    request: dict[str, Any],
    answering: Connection,
) -> None:
    try:
        if first:
            first()
        answering.send("begun")
        helpers.refresh_core(settings, as_of, **request)
    except DbmonError as error:
        answering.send(str(error))
    except Exception:
        answering.send(traceback.format_exc())
    else:
        answering.send("")
