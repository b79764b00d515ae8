"""Processes of their own for all that is measured: their wall time, processor time and memory."""

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

from dbmon_pipeline_tests.benchmarks.refresh.proc import PeakMemory
from dbmon_pipeline_tests.helpers import clean_environ

DBMON = str(Path(sys.executable).with_name("dbmon"))
_OUTPUT_LINES = 20


class BenchError(Exception):
    """A process failed; the message has the end of its output."""


@dataclass(frozen=True)
class Ran:
    """What a process cost.

    Attributes:
        seconds: Its wall time, start and imports included.
        cpu_seconds: Its processor time and that of its children.
        peak_mb: The most memory that it and its descendants had at a time (the sum of their PSS).
    """

    seconds: float
    cpu_seconds: float
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
    """Run a module of this package as a process and decode the JSON that it prints.

    Raises:
        BenchError: It failed.
    """
    return call_measured(module, *arguments)[1]


def call_measured(module: str, *arguments: object) -> tuple[Ran, Any]:
    """Do as :func:`call`, and tell what the process cost.

    Raises:
        BenchError: It failed.
    """
    command = (sys.executable, "-m", module, *arguments)
    ran, output = _finished(command, None, None, fails=False)
    return ran, json.loads(output.splitlines()[-1])


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
    memory = PeakMemory()
    assert process.stdout
    with process.stdout, memory.sampled(process.pid):
        output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode and not fails:
        last = "\n".join(output.splitlines()[-_OUTPUT_LINES:])
        raise BenchError(f"{' '.join(words)} failed with {process.returncode}:\n{last}")
    return Ran(seconds, usage.ru_utime + usage.ru_stime, memory.mb), output
