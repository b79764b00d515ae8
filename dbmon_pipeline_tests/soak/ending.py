"""How a process of the soak is told to come to its end, and how it is started and told so."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any

_PATIENCE_SECONDS = 300.0


def until_told() -> threading.Event:
    """An event that is set as soon as standard input is closed."""
    told = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        told.set()

    threading.Thread(target=wait, daemon=True).start()
    return told


class Companion:
    """A process ``python -m dbmon_pipeline_tests.soak.MODULE`` that works until it is told."""

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

    def wait_until_ready(self) -> None:
        """Wait for its first line.

        Raises:
            RuntimeError: It ended before.
        """
        assert self._process.stdout
        if not self._process.stdout.readline():
            raise RuntimeError(f"{self._name} ended with {self._process.wait()}")

    def tell(self) -> None:
        """Have it come to its end."""
        assert self._process.stdin
        self._process.stdin.close()

    def end(self) -> dict[str, Any]:
        """Have it end, if it does not yet; what it tells then.

        Raises:
            RuntimeError: It failed.
        """
        self.tell()
        assert self._process.stdout
        told = self._process.stdout.read()
        self._process.wait(_PATIENCE_SECONDS)
        if self._process.returncode:
            raise RuntimeError(f"{self._name} ended with {self._process.returncode}")
        found: dict[str, Any] = json.loads(told)
        return found

    def kill(self) -> None:
        """End it in any case."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()
