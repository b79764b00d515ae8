"""An installed wheel works outside of the checkout: SQL and configuration ship with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
END = "--end of a command--"
COMMANDS = f"""
import json, sys
import dbmon_pipeline
from dbmon_pipeline.faces.cli.main import main

commands = json.loads(sys.argv[1])
print(dbmon_pipeline.__file__)
for command in commands:
    print({END!r}, flush=True)
    sys.argv = ["dbmon", *command]
    try:
        main()
    except SystemExit as ended:
        assert ended.code == 0, (command, ended.code)
"""
"""Runs several commands in one process, with a line between what they print."""


def test_an_installed_wheel_works_anywhere(tmp_path: Path) -> None:
    """Built, unpacked elsewhere, and used from a third place, with no checkout in sight."""
    wheels, site, here = tmp_path / "wheels", tmp_path / "site", tmp_path / "here"
    here.mkdir()
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    subprocess.run(build, check=True, capture_output=True, cwd=ROOT)
    (wheel,) = wheels.iterdir()
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    install = ["install", "--no-deps", "--no-index", "--no-compile", "--target", str(site)]
    subprocess.run([*pip, *install, str(wheel)], check=True, capture_output=True)

    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(site), *([inherited] if inherited else [])])
    environ = {k: v for k, v in os.environ.items() if not k.startswith("DBMON_")}
    commands = (
        ("sample", "data/learning.db", "--rows", "500", "--days", "3"),
        ("refresh",),
        ("tables", "--format", "csv"),
        ("show", "hourly_summary", "--format", "csv", "--limit", "100000"),
    )
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps(commands)],
        cwd=here,
        env=environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    where, *_, tables, hours = done.stdout.split(f"{END}\n")
    assert Path(where.strip()).is_relative_to(site)
    listed = tables.splitlines()
    assert listed[0] == "table,rows,files,data_through"
    assert {line.split(",")[0] for line in listed[1:]} >= {"hourly_summary", "tier_performance"}
    assert sum(int(row.split(",")[5]) for row in hours.splitlines()[1:]) == 500
