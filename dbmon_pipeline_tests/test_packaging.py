"""An installed wheel works outside of the checkout: SQL and configuration ship with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_an_installed_wheel_works_anywhere(tmp_path: Path) -> None:
    """Built, unpacked elsewhere, and used from a third place, with no checkout in sight."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheels, site, here = tmp_path / "wheels", tmp_path / "site", tmp_path / "here"
    here.mkdir()
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(ROOT)]
    subprocess.run([*pip, *build], check=True, capture_output=True)
    (wheel,) = wheels.iterdir()
    install = ["install", "--no-deps", "--no-index", "--target", str(site), str(wheel)]
    subprocess.run([*pip, *install], check=True, capture_output=True)

    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(site), *([inherited] if inherited else [])])
    environ = {k: v for k, v in os.environ.items() if not k.startswith("DBMON_")}
    code = "from dbmon_pipeline.faces.cli.main import main; main()"

    def dbmon(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=here,
            env=environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    where = subprocess.run(
        [sys.executable, "-c", "import dbmon_pipeline; print(dbmon_pipeline.__file__)"],
        cwd=here,
        env=environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(site)
    dbmon("sample", "data/learning.db", "--rows", "500", "--days", "3")
    dbmon("refresh")
    listed = dbmon("tables", "--format", "csv").splitlines()
    assert listed[0] == "table,rows,files,data_through"
    assert {line.split(",")[0] for line in listed[1:]} >= {"hourly_summary", "tier_performance"}
    assert (
        sum(
            int(row.split(",")[5])
            for row in dbmon(
                "show", "hourly_summary", "--format", "csv", "--limit", "100000"
            ).splitlines()[1:]
        )
        == 500
    )
