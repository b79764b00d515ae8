"""The rivals: pandas, dbt-duckdb and SQLMesh make five of our tables from the same source.

Their projects lie in ``rivals/``. Each runs in an environment of its own, made from a lock file.
They read no late rows, publish nothing and check nothing, and are not asked to.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from venv import EnvBuilder

from dbmon_pipeline_tests.benchmarks.refresh.processes import BenchError, Ran, run

TABLES = (
    *("hourly_summary", "daily_summary", "tier_performance", "pool_performance"),
    "error_summary",
)
_PROJECTS = Path(__file__).parents[1] / "rivals"
_ENVIRONMENTS = Path(__file__).parents[3] / ".cache" / "bench"
_RAN = Path("target", "run_results.json")
"""Where dbt says how long a run took, and so do the others."""


@dataclass(frozen=True)
class Rival:
    """One of them.

    Attributes:
        name: The name of its project's folder.
        command: What runs it, the program in its environment first; ``{}`` is the instant.
        is_incremental: Whether the next hour costs it less than everything.
    """

    name: str
    command: tuple[str, ...]
    is_incremental: bool = True


RIVALS = {
    rival.name: rival
    for rival in (
        Rival("pandas", ("python", "run.py"), is_incremental=False),
        Rival("dbt", ("dbt", "run")),
        Rival("sqlmesh", ("python", "run.py", "{}")),
    )
}


def installed(rival: Rival) -> Path:
    """The folder of programs of a rival's environment, which is made if its lock file is new.

    Raises:
        BenchError: It cannot be installed here.
    """
    lock = _PROJECTS / rival.name / "requirements.lock"
    folder = _ENVIRONMENTS / rival.name
    programs, made_from = folder / "bin", folder / ".made_from"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    if not made_from.exists() or made_from.read_text("ascii") != digest:
        EnvBuilder(clear=True, with_pip=True).create(folder)
        pip = (programs / "pip", "install", "--quiet", "--require-hashes", "--requirement", lock)
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise BenchError(f"{rival.name} cannot be installed: {(said or ['pip failed'])[-1]}")
        made_from.write_text(digest, "ascii")
    return programs


class Site:
    """A rival at work on one source."""

    def __init__(self, rival: Rival, programs: Path, source: Path, folder: Path) -> None:
        """Copy its project to where it may write."""
        self.rival = rival
        self.tables = folder / "tables.duckdb"
        self._programs = programs
        self._source = source
        self._folder = folder
        shutil.copytree(_PROJECTS / rival.name, folder)
        (folder / "macros").mkdir()
        shutil.copy(_PROJECTS / "measures.sql", folder / "macros")

    def run(self, as_of: datetime) -> tuple[float, Ran]:
        """Let it bring its tables up to an instant.

        Returns:
            The seconds that it says it took, and what the process cost.

        Raises:
            BenchError: It failed.
        """
        program, *arguments = self.rival.command
        ran = run(
            self._programs / program,
            *(argument.format(as_of.isoformat(sep=" ")) for argument in arguments),
            folder=self._folder,
            environ={
                "BENCH_SOURCE": self._source,
                "BENCH_TABLES": self.tables,
                "PYTHONPATH": "",
            },
        )
        return float(json.loads((self._folder / _RAN).read_text("utf-8"))["elapsed_time"]), ran
