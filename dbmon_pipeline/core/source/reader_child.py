"""Run of the reader process: started, spoken to through pipes by a deadline, ended."""

from __future__ import annotations

import math
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

import msgspec

from dbmon_pipeline.core.common.errors import (
    ReaderDiedError,
    ReaderError,
    TimeoutExceededError,
)
from dbmon_pipeline.core.source.reader_protocol import Reply, decode_reply

_KILLED_SECONDS = 5.0
"""Seconds to wait for a killed process; a network file system may hold it for longer."""
_CHUNK_BYTES = 1 << 16
"""The capacity of a pipe."""
_LONGEST_POLL_SECONDS = 3600.0


class ChildEndedError(Exception):
    """The process reads or writes no more."""


class TooLateError(Exception):
    """A deadline is over."""


class Deadline:
    """The time that a request has."""

    def __init__(self, timeout: float | None) -> None:
        """Begin now.

        Args:
            timeout: Seconds, None for as long as it takes.
        """
        self._timeout = timeout
        self._end = math.inf if timeout is None else time.monotonic() + timeout

    def remaining(self, at_most: float) -> float:
        """Tell the seconds that are left, not below zero."""
        return min(max(0.0, self._end - time.monotonic()), at_most)

    def error(self, name: str) -> TimeoutExceededError:
        """Make the error of a request that took longer."""
        return TimeoutExceededError(
            f"{name} took longer than {self._timeout:g} seconds",
            remedy="allow it more time, or ask for less",
        )


class Child:
    """Run of the reader process.

    Attributes:
        process: The process.
    """

    def __init__(self, module: str, inherit: tuple[int, ...]) -> None:
        """Start it, and do not wait until it is ready.

        Raises:
            ReaderError: The system cannot start it.
        """
        try:
            self.process = subprocess.Popen(  # noqa: S603 - our own module
                # -P: what lies where a command is run must not stand in for a module of ours.
                [sys.executable, "-P", "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                pass_fds=inherit,
                process_group=0,  # Ctrl-C in a terminal is for this process to decide upon
            )
        except OSError as error:
            raise ReaderError(
                f"the reader process cannot be started ({sys.executable}: {error.strerror})",
                remedy="check that this Python can be run, and that the system has memory and"
                " processes left",
            ) from None
        if not self.process.stdin or not self.process.stdout:
            raise RuntimeError("Popen made no pipes")
        self._stdin, self._stdout = self.process.stdin, self.process.stdout
        os.set_blocking(self._stdin.fileno(), False)
        self._received = bytearray()

    def send(self, line: bytes, deadline: Deadline) -> None:
        """Write a request.

        Raises:
            ChildEndedError: The process reads no more.
            TooLateError: It did not read it in time.
        """
        remaining = memoryview(line)
        while remaining:
            _await(self._stdin.fileno(), select.POLLOUT, deadline)
            try:
                remaining = remaining[os.write(self._stdin.fileno(), remaining) :]
            except BrokenPipeError:
                raise ChildEndedError from None

    def receive(self, deadline: Deadline) -> Reply:
        """Read a reply.

        Raises:
            ReaderError: It is no reply.
            ChildEndedError: The process writes no more.
            TooLateError: It wrote none in time.
        """
        searched = 0
        while (end := self._received.find(b"\n", searched)) < 0:
            searched = len(self._received)
            _await(self._stdout.fileno(), select.POLLIN, deadline)
            chunk = os.read(self._stdout.fileno(), _CHUNK_BYTES)
            if not chunk:
                raise ChildEndedError
            self._received += chunk
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        try:
            return decode_reply(line)
        except msgspec.DecodeError as error:
            raise ReaderError(
                f"the reader process sent no reply of ours ({error})",
                remedy="stop whatever still runs an older dbmon_pipeline, and repeat",
            ) from None

    def end(self, patience_seconds: float) -> int | None:
        """Close the pipes, which ends the process, and kill it if it is still there after a wait.

        Returns:
            Its exit code, negative for a signal; None if it cannot even be killed.
        """
        self._stdin.close()
        self._stdout.close()
        if patience_seconds:
            with suppress(subprocess.TimeoutExpired):
                return self.process.wait(patience_seconds)
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(_KILLED_SECONDS)
        return None

    def leave_to_parent(self) -> None:
        """Close this fork's copies of the pipes: those of its parent must be the last ones."""
        self._stdin.close()
        self._stdout.close()
        self.process.returncode = 0  # it is no child of this process, so nothing to wait for


def death(name: str, exit_code: int | None) -> ReaderDiedError:
    """Make the error of a request during which the process ended."""
    remedy = "repeat it; if it happens again, set DBMON_DEBUG=1 and see what is written to stderr"
    if exit_code is None:
        how = "closed its output"
    elif exit_code >= 0:
        how = f"ended with exit code {exit_code}"
    else:
        try:
            how = f"was ended by {signal.Signals(-exit_code).name}"
        except ValueError:
            how = f"was ended by signal {-exit_code}"
        if exit_code == -signal.SIGKILL:
            remedy = "repeat it; if it happens again, free memory: the system may have run short"
    return ReaderDiedError(f"the reader process {how} during {name}", remedy=remedy)


def _await(descriptor: int, event: int, deadline: Deadline) -> None:
    """Wait until a pipe can be used, or its other end is closed."""
    poll = select.poll()
    poll.register(descriptor, event)
    while not poll.poll(math.ceil(deadline.remaining(_LONGEST_POLL_SECONDS) * 1000)):
        if not deadline.remaining(1):
            raise TooLateError
