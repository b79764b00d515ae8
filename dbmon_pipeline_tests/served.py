"""The Dagster UI over a sample in which something goes wrong, on this machine."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg

from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.learning_db.sample import Scenario, make_sample
from dbmon_pipeline_tests.helpers import add_rows, clean_environ, dbmon_command, execution

END = datetime(2026, 3, 10, 12)
"""When the sample ends; from six to two hours before the large tier fails."""
HOUR = timedelta(hours=1)
_RULES = """
rules:
  errors_by_repo: {measurement: error_rate, by: repo, above: {warning: 0.3, critical: 0.6}}
"""
_PATIENCE_SECONDS = 60
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Served:
    """What is served.

    Attributes:
        address: The address of the UI, without a slash at its end.
        settings: The source and the home.
        environ: The environment of commands about them.
    """

    address: str
    settings: Settings
    environ: dict[str, str]

    def latest_run(self) -> str:
        """The id of the latest run."""
        with dg.DagsterInstance.from_config(str(self.settings.home.dagster)) as instance:
            return instance.get_runs(limit=1)[0].run_id


@contextmanager
def served(folder: Path, failing: str, *refreshes: datetime) -> Iterator[Served]:
    """The Dagster UI, until the block ends.

    Args:
        folder: Where source and home are made.
        failing: The name of a repo of which all executions fail.
        refreshes: The instants as of which the home is refreshed before.
    """
    source, home = folder / "learning.db", folder / "home"
    rules = folder / "rules.yaml"
    rules.write_text(_RULES, "utf-8")
    make_sample(
        source,
        rows=8_000,
        days=30,
        end=END,
        seed=1,
        scenario=Scenario.INCIDENT,
        embeddings=False,
    )
    failed = {"repo": failing, "success": False, "error_type": "timeout"}
    add_rows(source, [execution(END - n * HOUR / 6, **failed) for n in range(1, 60)])
    environ = clean_environ(
        DBMON_SOURCE=source,
        DBMON_HOME=home,
        DBMON_CONFIG=rules,
        DAGSTER_HOME=home / "dagster",
    )
    for as_of in refreshes:
        arguments = ("refresh", "--as-of", as_of.isoformat())
        subprocess.run(dbmon_command(*arguments), check=True, env=environ, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = Settings.load(source, home, environ=environ)
    made = Served(f"http://127.0.0.1:{port}", settings, environ)
    web = str(Path(sys.executable).with_name("dagster-webserver"))
    server = subprocess.Popen(
        [web, "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port), "--log-level", "error"],
        env=environ,
        cwd=_ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(made.address)
        yield made
    finally:
        server.terminate()
        server.wait()


def _wait_for(address: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{address}/server_info", timeout=5):  # noqa: S310
                return
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
