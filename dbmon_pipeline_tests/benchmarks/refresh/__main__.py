"""The bench: ratios, each of two things that are measured side by side in one run.

``make bench`` prints one table and the goals under it; ``make bench BENCH="--rows 1000000"`` takes
another size. Histories differ in length at one rate per day. The default is meant for a quiet
machine with two cores, and takes some minutes there, the first time with the rivals to install.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from dbmon_pipeline_tests.benchmarks.refresh.measure import PARTS, Options, measure
from dbmon_pipeline_tests.benchmarks.refresh.processes import BenchError
from dbmon_pipeline_tests.benchmarks.refresh.table import DEV_SECONDS, GOALS, lines, short


def main() -> None:
    """Measure, print the table and the goals, and write them as JSON if asked to."""
    arguments = _arguments()
    options = Options(
        rows=arguments.rows,
        long=arguments.long,
        per_day=arguments.per_day,
        hours=arguments.hours,
        parts=arguments.parts,
        dev_seconds=arguments.dev,
    )
    started = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows = list(measure(Path(folder), options))
    except BenchError as error:
        sys.exit(str(error))
    seconds = time.perf_counter() - started
    goals = [(goal, *goal.judged(rows)) for goal in GOALS]
    words = {True: "met", False: "missed", None: "not judged"}
    for line in (
        f"{short(options.rows)} executions, {options.per_day:,} a day, DuckDB {duckdb.__version__},"
        f" {os.cpu_count()} cores; measured in {seconds:.0f} seconds.",
        "",
        *lines(rows),
        "",
        "Goals:",
        "",
        *(f"- {words[is_met]}: {goal.text}: {figure}" for goal, is_met, figure in goals),
    ):
        sys.stdout.write(f"{line}\n")
    if arguments.json:
        figures = {
            "rows": options.rows,
            "long": options.long,
            "per_day": options.per_day,
            "hours": options.hours,
            "cores": os.cpu_count(),
            "duckdb": duckdb.__version__,
            "seconds": seconds,
            "table": [row.as_json() for row in rows],
            "goals": [
                {"goal": goal.text, "is_met": is_met, "figure": figure}
                for goal, is_met, figure in goals
            ],
        }
        arguments.json.write_text(json.dumps(figures, indent=1), "utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        *("--rows",),
        type=int,
        default=10_000_000,
        help="executions of the history that all is measured on; a tenth of it is another",
    )
    parser.add_argument(
        *("--long",),
        type=int,
        default=0,
        help="executions of a longer history, for refreshes alone: 50000000 wants 40 GB of disk",
    )
    parser.add_argument("--per-day", type=int, default=111_111, help="executions a day")
    parser.add_argument(
        "--hours", type=int, default=3, choices=range(1, 13), help="next hours, one after the other"
    )
    parser.add_argument(
        *("--parts",),
        nargs="*",
        choices=PARTS,
        default=PARTS,
        help="what is measured besides the work inside refreshes; by default all",
    )
    parser.add_argument(
        *("--dev",),
        type=float,
        nargs="?",
        const=DEV_SECONDS,
        default=0.0,
        help="run dbmon dev for so many seconds (600) idle and for as many with executions",
    )
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
