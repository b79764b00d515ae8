"""Make the pictures in the README: ``make pictures``.

A sample source is refreshed in a temporary home while things go wrong in it, the Dagster UI is
served on this machine, and Debian's Chromium takes the pictures, of the report too.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from dbmon_pipeline.core.incidents.observe import observe_published
from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.orchestration.groups import GROUPS
from dbmon_pipeline_tests.browser import CHROMIUM, chromium, opened
from dbmon_pipeline_tests.helpers import dbmon_command
from dbmon_pipeline_tests.served import END, HOUR, served

_REPO = "acme/planner"
_REFRESHES = [END - hours * HOUR for hours in (10, 8, 6, 5, 4, 3)]


def main(folder: Path) -> None:
    """Write the pictures.

    Raises:
        SystemExit: Chromium is not installed.
    """
    if CHROMIUM is None:
        sys.exit("chromium is not installed: apt-get install chromium")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made, served(Path(made), _REPO, *_REFRESHES) as ui:
        settings = ui.settings
        rules = settings.config
        with (
            Incidents(settings.home.incidents, notifications=rules.notifications) as incidents,
            Published(settings.home) as published,
        ):
            observe_published(incidents, published, rules)
        report = Path(made) / "report.html"
        as_of = _REFRESHES[-1].isoformat()
        subprocess.run(
            dbmon_command("report", "--as-of", as_of, "--out", report),
            check=True,
            env=ui.environ,
            capture_output=True,
        )
        expanded = ",".join(f"global@global:{group}" for group in GROUPS)
        pages = {
            "asset_graph": (f"{ui.address}/asset-groups?expanded={expanded}", 1500, 1620, False),
            "check": (
                f"{ui.address}/assets/check_history?view=checks&checkDetail=success_rate",
                *(1400, 1620, False),
            ),
            "health": (f"{ui.address}/assets/publication?view=overview", 1400, 1500, False),
            "run": (f"{ui.address}/runs/{ui.latest_run()}", 1400, 1500, False),
            "report": (report.as_uri(), 1280, 2150, False),
            "report_dark": (report.as_uri(), 390, 844, True),
        }
        with chromium() as browser:
            for name, (address, width, height, dark) in pages.items():
                with opened(browser, address, width=width, height=height, dark=dark) as seen:
                    seen.page.wait_for_load_state("networkidle")
                    seen.page.wait_for_timeout(2_000)  # until graphs and plots are drawn
                    seen.page.screenshot(path=folder / f"{name}.png")
                sys.stderr.write(f"{name}.png\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
