"""Processes of their own for all that is measured: their wall time, and their peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbmon_pipeline_tests.helpers import clean_environ

DBMON = str(Path(sys.executable).with_name("dbmon"))
_SAID_LINES = 20


class BenchError(Exception):
    """A process failed; what it said last."""


@dataclass(frozen=True)
class Ran:
    """What a process cost.

    Attributes:
        seconds: Its wall time, start and imports included.
        peak_mb: The most memory that it had at a time.
    """

    seconds: float
    peak_mb: float


def run(
    *command: object,
    environ: Mapping[str, object] | None = None,
    folder: Path | None = None,
    fails: bool = False,
) -> Ran:
    """Run a command.

    Args:
        command: The command and its arguments.
        environ: What its environment has besides.
        folder: Where it runs.
        fails: Whether it may exit with something else than 0.

    Raises:
        BenchError: It failed.
    """
    return _finished(command, environ, folder, fails=fails)[0]


def python(code: str) -> Ran:
    """Run Python statements.

    Raises:
        BenchError: They failed.
    """
    return run(sys.executable, "-c", code)


def call(module: str, *arguments: object) -> Any:
    """What a module of this package says in JSON when it runs as a process.

    Raises:
        BenchError: It failed.
    """
    _, said = _finished((sys.executable, "-m", module, *arguments), None, None, fails=False)
    return json.loads(said.splitlines()[-1])


def _finished(
    command: tuple[object, ...],
    environ: Mapping[str, object] | None,
    folder: Path | None,
    *,
    fails: bool,
) -> tuple[Ran, str]:
    words = [str(word) for word in command]
    started = time.perf_counter()
    process = subprocess.Popen(
        words,
        env=clean_environ(**(environ or {})),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    with process.stdout:
        said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode and not fails:
        last = "\n".join(said.splitlines()[-_SAID_LINES:])
        raise BenchError(f"{' '.join(words)} failed with {process.returncode}:\n{last}")
    return Ran(seconds, usage.ru_maxrss * 1024 / 1e6), said
