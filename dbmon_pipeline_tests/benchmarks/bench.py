"""The bench: what a refresh costs beside bare DuckDB, measured side by side in one run.

``make bench`` prints a table; ``make bench BENCH="--rows 10000000"`` does it for ten million rows.
Every figure is taken in a process of its own, so that its peak memory is its own too.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

from dbmon_pipeline.core.duck import connect
from dbmon_pipeline_tests.benchmarks import questions
from dbmon_pipeline_tests.helpers import refresh_core, settings_for

_END = datetime(2026, 11, 20)
_DAYS = 90

_BARE_GROUP_BY = """
    SELECT
        date_trunc('hour', timestamp), repo, task_type, model_tier, pool_type,
        count(*), count(*) FILTER (WHERE success), sum(duration_seconds), sum(actual_cost),
        sum(cost_estimate), sum(quality_score), sum(peak_memory_mb), sum(estimated_tokens)
    FROM executions GROUP BY ALL
"""

_NEXT_HOUR = """
    INSERT INTO executions BY NAME
    SELECT * REPLACE (uuid() AS task_id, timestamp + INTERVAL 1 HOUR AS timestamp)
    FROM executions WHERE timestamp >= $since
"""

_NOTHING = """
import duckdb, pydantic, typer
app = typer.Typer()
app.command()(lambda: None)
app([])
"""


def main() -> None:
    """Measure, print the table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        what, folder, as_of = arguments.child
        _print(json.dumps(_work(what, Path(folder), datetime.fromisoformat(as_of))))
        return
    with tempfile.TemporaryDirectory() as folder:
        figures, answers = _measure(Path(folder), arguments.rows)
    floor = figures["one bare GROUP BY"]["seconds"]
    _print(f"{arguments.rows:,} rows over {_DAYS} days, {os.cpu_count()} cores")
    _print(f"{'':44}{'seconds':>9}{'ratio':>8}{'peak MB':>9}{'longest lock ms':>17}")
    for name, row in figures.items():
        row["ratio"] = row["seconds"] / floor
        memory, lock = row.get("peak_mb"), row.get("longest_lock_ms")
        _print(
            f"{name:44}{row['seconds']:9.2f}{row['ratio']:8.1f}"
            f"{f'{memory:,.0f}' if memory else '-':>9}{f'{lock:.0f}' if lock else '-':>17}"
        )
    for line in ("", *questions.table(answers)):
        _print(line)
    if arguments.json:
        arguments.json.write_text(json.dumps({"refresh": figures, "questions": answers}, indent=1))


Figures = dict[str, dict[str, float]]


def _measure(folder: Path, rows: int) -> tuple[Figures, Figures]:
    settings = settings_for(folder)
    dbmon = str(Path(sys.executable).with_name("dbmon"))
    _tell("making the source")
    size = ("--rows", str(rows), "--days", str(_DAYS), "--end", _END.isoformat())
    _process(dbmon, "sample", str(settings.source), *size)
    figures: Figures = {}
    _tell("bare DuckDB")
    figures["one bare GROUP BY"] = _child("group-by", folder, _END)
    figures["import dagster"] = _process("-c", "import dagster")
    _tell("the work of a refresh, without Dagster")
    figures["refresh from nothing, the work inside"] = _child("refresh", folder, _END)
    _tell("whole processes")
    environ = {"DBMON_SOURCE": str(settings.source), "DBMON_HOME": str(folder / "whole")}
    figures["refresh from nothing, whole process"] = _process(
        dbmon, "refresh", "--as-of", _END.isoformat(), environ=environ
    )
    later = _END + timedelta(hours=1)
    _child("next-hour", folder, _END)
    figures["next hour, the work inside"] = _child("refresh", folder, later)
    figures["next hour, whole process"] = _process(
        dbmon, "refresh", "--as-of", later.isoformat(), environ=environ
    )
    figures["import duckdb, pydantic, typer"] = _process("-c", "import duckdb, pydantic, typer")
    figures["a typer command that does nothing"] = _process("-c", _NOTHING)
    figures["dbmon status, whole process"] = _process(
        *(dbmon, "status", "--as-of", later.isoformat()), environ=environ, fails=True
    )
    _tell("questions")
    asked = subprocess.run(
        [sys.executable, "-m", questions.__name__, str(folder / "whole"), later.isoformat()],
        check=True,
        stdout=subprocess.PIPE,
    )
    return figures, json.loads(asked.stdout)


def _work(what: str, folder: Path, as_of: datetime) -> dict[str, float]:
    """Do one thing in this process, and say what it cost."""
    settings = settings_for(folder)
    holds: list[float] = []
    started = time.perf_counter()
    if what == "refresh":
        done = refresh_core(settings, as_of)
        holds = [hold for extraction in done.extractions for hold in extraction.holds_ms]
    else:
        with connect(settings.source) as con:
            if what == "group-by":
                con.execute(_BARE_GROUP_BY).fetchall()
            else:
                con.execute(_NEXT_HOUR, {"since": as_of - timedelta(hours=1)})
    return {
        "seconds": time.perf_counter() - started,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "longest_lock_ms": max(holds, default=0),
        "total_lock_ms": sum(holds),
        "attaches": len(holds),
    }


def _child(what: str, folder: Path, as_of: datetime) -> dict[str, float]:
    """Do one thing in a process of its own: a child's peak memory begins with its parent's."""
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, "--child", what, str(folder), as_of.isoformat()],
        check=True,
        stdout=subprocess.PIPE,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _process(
    *command: str, environ: dict[str, str] | None = None, fails: bool = False
) -> dict[str, float]:
    """Run a command; its wall time, and its peak memory as the system counts it.

    Args:
        command: The command, or the arguments of Python.
        environ: What its environment has besides.
        fails: Whether it may exit with something else than 0.
    """
    started = time.perf_counter()
    program = [sys.executable] if command[0].startswith("-") else []
    process = subprocess.Popen(
        [*program, *command],
        env=os.environ | (environ or {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status and not fails:
        sys.exit(f"{' '.join(command)} failed with {os.waitstatus_to_exitcode(status)}")
    return {"seconds": time.perf_counter() - started, "peak_mb": usage.ru_maxrss / 1024}


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _tell(line: str) -> None:
    sys.stderr.write(f"{line} ...\n")


if __name__ == "__main__":
    main()
