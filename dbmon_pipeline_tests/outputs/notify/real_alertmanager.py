"""A real Alertmanager, which passes on what it is told to a receiver of ours."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from dbmon_pipeline_tests.outputs.notify.made import Receiver

BINARY = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
CONFIG = """
route:
  receiver: people
  group_by: [alertname, scope]
  group_wait: 200ms
  group_interval: 300ms
  repeat_interval: 1h
receivers:
  - name: people
    webhook_configs:
      - url: URL
        send_resolved: true
"""

needs_alertmanager = pytest.mark.skipif(
    BINARY is None, reason="needs Debian's package prometheus-alertmanager"
)


@dataclass(frozen=True)
class Running:
    """An Alertmanager that runs, and what it has told people."""

    url: str
    people: Receiver

    def alerts(self, rule: str) -> list[Any]:
        """What fires there of a rule."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=5) as answer:  # noqa: S310
            found = json.load(answer)
        return [alert for alert in found if alert["labels"]["alertname"] == rule]

    def told(self, rule: str) -> list[list[tuple[str, str]]]:
        """Severity and status of each alert in each message about a rule."""
        messages = [json.loads(request.body) for request in self.people.requests]
        return [
            sorted((alert["labels"]["severity"], alert["status"]) for alert in message["alerts"])
            for message in messages
            if message["commonLabels"]["alertname"] == rule
        ]

    def pass_on(self, rule: str) -> None:
        """Wait until people have been told what fires of a rule, and no more than that."""

        def is_told() -> bool:
            last = (self.told(rule) or [[]])[-1]
            firing = [severity for severity, status in last if status == "firing"]
            return firing == sorted(alert["labels"]["severity"] for alert in self.alerts(rule))

        wait_for(is_told)


def wait_for(is_so: Callable[[], object], *, seconds: float = 10) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def alertmanager(folder: Path, people: Receiver, port: int) -> Iterator[Running]:
    """An Alertmanager that runs until the end of the block; the same folder is the same one."""
    assert BINARY is not None
    (folder / "config.yml").write_text(CONFIG.replace("URL", people.url), "utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                BINARY,
                f"--config.file={folder}/config.yml",
                f"--storage.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            started = Running(f"http://127.0.0.1:{port}", people)

            def is_ready() -> bool:
                assert process.poll() is None, (folder / "log").read_text("utf-8")
                with suppress(URLError, OSError):
                    return started.alerts("none") == []
                return False

            wait_for(is_ready)
            yield started
        finally:
            process.terminate()
            process.wait(10)
