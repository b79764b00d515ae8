"""Make the picture of the asset graph in the README: ``make screenshot``.

A sample source is refreshed in a temporary home, the Dagster UI is served on this machine, and
Debian's Chromium takes the picture.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SIZE = "1800,2250"
_GROUPS = ",".join(
    f"global@global:{group}"
    for group in ("source", "warehouse", "summaries", "checks", "published")
)
_PATIENCE_SECONDS = 60


def main(target: Path) -> None:
    """Write the picture.

    Raises:
        SystemExit: Chromium is not installed, or did not make a picture.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("chromium is not installed: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder, _served(Path(folder)) as address:
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [
                *(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
                *("--disable-background-networking", "--disable-component-update"),
                *("--disable-sync", "--hide-scrollbars", f"--user-data-dir={folder}/browser"),
                *(f"--window-size={_SIZE}", "--virtual-time-budget=30000"),
                f"--screenshot={target.absolute()}",
                f"{address}/asset-groups?expanded={_GROUPS}",
            ],
            check=True,
            stderr=subprocess.DEVNULL,
        )


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """The Dagster UI over a sample, until the block ends."""
    dbmon, web = (
        str(Path(sys.executable).with_name(name)) for name in ("dbmon", "dagster-webserver")
    )
    source, home = folder / "learning.db", folder / "home"
    environ = os.environ | {
        "DBMON_SOURCE": str(source),
        "DBMON_HOME": str(home),
        "DAGSTER_HOME": str(home / "dagster"),
    }
    subprocess.run([dbmon, "sample", str(source), "--rows", "20000"], check=True, env=environ)
    subprocess.run([dbmon, "refresh"], check=True, env=environ)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [web, "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port), "--log-level", "error"],
        env=environ,
    )
    try:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{address}/server_info", timeout=5):  # noqa: S310
                    break
            except urllib.error.URLError:
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
