"""A real Prometheus, and its tool."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dbmon_pipeline_tests.outputs.notify.real_alertmanager import free_port, wait_for

BINARY = shutil.which("prometheus")
TOOL = shutil.which("promtool")

needs_promtool = pytest.mark.skipif(TOOL is None, reason="needs Debian's package prometheus")

Series = dict[tuple[str, ...], float]
"""Values by the name of a metric and the values of its labels, in the order of their names."""


def parsed(text: str) -> Series:
    """What prometheus_client's own parser reads; no series is there twice."""
    samples = [
        ((sample.name, *(text for _, text in sorted(sample.labels.items()))), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]
    found = dict(samples)
    assert len(found) == len(samples)
    return found


def promtool(*arguments: object, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """What the tool says."""
    assert TOOL is not None
    return subprocess.run(
        [TOOL, *map(str, arguments)],
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def check_metrics(text: str) -> None:
    """See that the tool has nothing to say about metrics."""
    done = promtool("check", "metrics", given=text)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@dataclass(frozen=True)
class RunningPrometheus:
    """A Prometheus that runs."""

    url: str

    def value(self, query: str) -> list[tuple[dict[str, str], float]]:
        """What a query gives now, with the labels."""
        url = f"{self.url}/api/v1/query?query={quote(query)}"
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
            found: list[Any] = json.load(answer)["data"]["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]


@contextmanager
def running_prometheus(folder: Path, config: str) -> Iterator[RunningPrometheus]:
    """A Prometheus that runs until the end of the block.

    Args:
        folder: Where its files lie.
        config: Its configuration.
    """
    assert BINARY is not None
    (folder / "prometheus.yml").write_text(config, "utf-8")
    port = free_port()
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                BINARY,
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/tsdb",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            started = RunningPrometheus(f"http://127.0.0.1:{port}")

            def is_ready() -> bool:
                assert process.poll() is None, (folder / "prometheus.log").read_text("utf-8")
                with suppress(URLError, OSError):
                    return started.value("vector(1)")[0][1] == 1
                return False

            wait_for(is_ready)
            yield started
        finally:
            process.terminate()
            process.wait(10)
