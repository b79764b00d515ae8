"""An owner that writes while others work: ``python -m ...owner SOURCE HOW SECONDS`` prints JSON.

It holds the file open and commits a hundred times a second, with checkpoints, or it opens the file
for each of 25 writes a second.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import duckdb

from dbmon_pipeline_tests.benchmarks.refresh.sources import END

HOLDS, OPENS = "holds", "opens"
WAYS = (HOLDS, OPENS)
DELAYED_MS = 50.0
"""A write that takes longer counts as delayed."""
_EACH_SECONDS = {HOLDS: 0.01, OPENS: 0.04}
_WRITES_PER_CHECKPOINT = 50
_MOST_TIMES = 5
"""An owner whose writes are too slow for their rate ends after so many times its time."""
_INSERT = """
    INSERT INTO executions BY NAME
    SELECT * REPLACE (CAST($id AS UUID) AS task_id, CAST($at AS TIMESTAMP) AS timestamp)
    FROM executions LIMIT 1
"""


def write(source: Path, way: str, seconds: float) -> dict[str, float]:
    """Write at a steady rate for a time, and tell how long the writes took."""
    with duckdb.connect() if way == OPENS else duckdb.connect(str(source)) as held:
        insert = _opening(source) if way == OPENS else _holding(held)
        taken, failed = _timed(insert, _EACH_SECONDS[way], seconds)
    return {
        "writes": len(taken) + failed,
        "failed": failed,
        "delayed": sum(1 for each in taken if each > DELAYED_MS),
        "p99_ms": sorted(taken)[len(taken) * 99 // 100] if taken else 0.0,
    }


def _timed(insert: Callable[[int], None], each: float, seconds: float) -> tuple[list[float], int]:
    """Insert at a steady rate; tell the milliseconds of each write, and how many failed."""
    taken: list[float] = []
    failed, number = 0, 0
    begun = time.perf_counter()
    while (due := number * each) < seconds:
        time.sleep(max(0, begun + due - time.perf_counter()))
        started = time.perf_counter()
        if started - begun > _MOST_TIMES * seconds:
            break
        try:
            insert(number)
        except duckdb.Error as error:
            failed += 1
            sys.stderr.write(f"{error}\n")
        else:
            taken.append((time.perf_counter() - started) * 1000)
        number += 1
    return taken, failed


def _holding(con: duckdb.DuckDBPyConnection) -> Callable[[int], None]:
    def insert(number: int) -> None:
        _insert(con, number)
        if number % _WRITES_PER_CHECKPOINT == 0:
            con.execute("CHECKPOINT")

    return insert


def _opening(source: Path) -> Callable[[int], None]:
    def insert(number: int) -> None:
        with duckdb.connect(str(source)) as con:
            _insert(con, number)

    return insert


def _insert(con: duckdb.DuckDBPyConnection, number: int) -> None:
    at = END + timedelta(milliseconds=number)
    con.execute(_INSERT, {"id": str(uuid4()), "at": at})


if __name__ == "__main__":
    path, way, duration = sys.argv[1:]
    sys.stdout.write(json.dumps(write(Path(path), way, float(duration))))
