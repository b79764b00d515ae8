"""What ``dbmon dev`` costs while it runs: idle, and with an execution now and then."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dbmon_pipeline.core.common.errors import DbmonError
from dbmon_pipeline.core.common.instants import utc_now
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline_tests.benchmarks.refresh.proc import PeakMemory, cpu_seconds
from dbmon_pipeline_tests.benchmarks.refresh.processes import DBMON, BenchError, run
from dbmon_pipeline_tests.helpers import add_rows, clean_environ, execution

_EACH_SECONDS = 36.0
_SETTLED_SECONDS = 60.0
_ENDING_SECONDS = 30.0
_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class DevFigures:
    """What it took.

    Attributes:
        idle: CPU seconds while nothing happened.
        busy: CPU seconds with an execution every 36 seconds.
        executions: How many of those there were.
        oldest: The most seconds that an execution waited until it was published.
        peak_mb: The most memory of its processes together.
    """

    idle: float
    busy: float
    executions: int
    oldest: float
    peak_mb: float


def measure_dev(source: Path, home: Path, seconds: float) -> DevFigures:
    """Run it for so many seconds idle and for as many with executions.

    Raises:
        BenchError: It ended by itself, or the refresh before it failed.
    """
    memory = PeakMemory()
    run(DBMON, "refresh", environ={"DBMON_SOURCE": source, "DBMON_HOME": home})
    with _running(source, home) as process:
        time.sleep(_SETTLED_SECONDS)
        before = cpu_seconds(process.pid)
        _let_pass(process, memory, seconds)
        between = cpu_seconds(process.pid)
        waits = _write_and_wait(process, memory, source, home, seconds)
        after = cpu_seconds(process.pid)
    return DevFigures(between - before, after - between, len(waits), max(waits), memory.mb)


def _let_pass(process: subprocess.Popen[bytes], memory: PeakMemory, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)
        _check(process)
        memory.sample(process.pid)


def _write_and_wait(
    process: subprocess.Popen[bytes], memory: PeakMemory, source: Path, home: Path, seconds: float
) -> list[float]:
    """Add executions, and tell how long each waited; one that still waits counts until now."""
    written: list[float] = []
    waits: list[float] = []
    begun = time.time()
    while (now := time.time()) < begun + seconds:
        _check(process)
        if now >= begun + len(written) * _EACH_SECONDS:
            add_rows(source, [execution(utc_now())])
            written.append(time.time())
        through = _published_through(home)
        while len(waits) < len(written) and through > written[len(waits)]:
            waits.append(now - written[len(waits)])
        memory.sample(process.pid)
        time.sleep(_LOOK_SECONDS)
    return waits + [time.time() - each for each in written[len(waits) :]]


def _published_through(home: Path) -> float:
    """Tell up to when the published data reaches, in seconds since 1970; 0 without any."""
    try:
        with Published(Home(home)) as published:
            through = published.manifest.data_through
    except DbmonError:
        return 0.0
    return time.time() - (utc_now() - through).total_seconds()


def _check(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        raise BenchError(f"dbmon dev ended with {process.returncode}")


@contextmanager
def _running(source: Path, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [DBMON, "dev", "--port", str(port)],
        env=clean_environ(DBMON_SOURCE=source, DBMON_HOME=home),
        stdout=subprocess.DEVNULL,
        stderr=sys.stderr,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_ENDING_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
