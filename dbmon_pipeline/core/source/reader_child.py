"""Run of the reader process: started, spoken to through pipes, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

import msgspec

from dbmon_pipeline.core.common.errors import ReaderDiedError, ReaderError
from dbmon_pipeline.core.source.reader_protocol import ENGINE_BROKEN_EXIT, Reply, decode_reply

_KILLED_SECONDS = 5.0
"""Seconds to wait for a killed process; a network file system may hold it for longer."""
_CHUNK_BYTES = 1 << 16
"""The capacity of a pipe."""


class ChildEndedError(Exception):
    """The process reads or writes no more."""


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
        self._received = bytearray()

    def send(self, line: bytes) -> None:
        """Write a request.

        Raises:
            ChildEndedError: The process reads no more.
        """
        remaining = memoryview(line)
        try:
            while remaining:
                remaining = remaining[os.write(self._stdin.fileno(), remaining) :]
        except BrokenPipeError:
            raise ChildEndedError from None

    def receive(self) -> Reply:
        """Read a reply.

        Raises:
            ReaderError: It is no reply.
            ChildEndedError: The process writes no more.
        """
        searched = 0
        while (end := self._received.find(b"\n", searched)) < 0:
            searched = len(self._received)
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
        self._close_pipes()
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(patience_seconds)
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(_KILLED_SECONDS)
        return None

    def leave_to_parent(self) -> None:
        """Close this fork's copies of the pipes: those of its parent must be the last ones."""
        self._close_pipes()
        self.process.returncode = 0  # it is no child of this process, so nothing to wait for

    def _close_pipes(self) -> None:
        self._stdin.close()
        self._stdout.close()


def death(name: str, exit_code: int | None) -> ReaderDiedError:
    """Make the error of a request during which the process ended."""
    remedy = "repeat it; if it happens again, set DBMON_DEBUG=1 and see what is written to stderr"
    if exit_code is None:
        how = "closed its output"
    elif exit_code == ENGINE_BROKEN_EXIT:
        how = "gave up over changed or damaged blocks of the source"
        remedy = "repeat it; if it happens again, have the owner open the file and check it"
    elif exit_code >= 0:
        how = f"ended with exit code {exit_code}"
    else:
        how = f"was ended by signal {-exit_code}"
        with suppress(ValueError):  # a signal without a name
            how = f"was ended by {signal.Signals(-exit_code).name}"
        if exit_code == -signal.SIGKILL:
            remedy = "repeat it; if it happens again, free memory: the system may have run short"
    return ReaderDiedError(f"the reader process {how} during {name}", remedy=remedy)
