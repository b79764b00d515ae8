"""Processes of the soak that work until their standard input is closed, and then report."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any

_PATIENCE_SECONDS = 300.0


def until_stdin_closes() -> threading.Event:
    """Get an event that is set as soon as standard input is closed."""
    closed = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        closed.set()

    threading.Thread(target=wait, daemon=True).start()
    return closed


class Companion:
    """A process ``python -m dbmon_pipeline_tests.soak.MODULE``."""

    def __init__(
        self, module: str, *arguments: object, environ: Mapping[str, str] | None = None
    ) -> None:
        """Start it."""
        self._name = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.{module}", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._stdin, self._stdout = self._process.stdin, self._process.stdout

    def wait_until_ready(self) -> None:
        """Wait for its first line.

        Raises:
            RuntimeError: It ended before.
        """
        self._line()

    def ask(self, question: object) -> Any:
        """Write a line of JSON to it, and read the line of JSON that it answers.

        Raises:
            RuntimeError: It ended before.
        """
        self._stdin.write(json.dumps(question) + "\n")
        self._stdin.flush()
        return json.loads(self._line())

    def close_stdin(self) -> None:
        """Have it come to its end."""
        self._stdin.close()

    def end(self) -> dict[str, Any]:
        """Have it end, and read its report.

        Raises:
            RuntimeError: It failed.
        """
        self.close_stdin()
        report = self._stdout.read()
        self._process.wait(_PATIENCE_SECONDS)
        if self._process.returncode:
            raise RuntimeError(f"{self._name} ended with {self._process.returncode}")
        figures: dict[str, Any] = json.loads(report)
        return figures

    def kill(self) -> None:
        """Kill it, if it runs."""
        self._process.kill()
        self._process.wait()
        self._stdin.close()
        self._stdout.close()

    def _line(self) -> str:
        line = self._stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} ended with {self._process.wait()}")
        return line
