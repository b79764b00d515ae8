"""What is measured inside a process: ``python -m ...work WHAT SOURCE HOME AS_OF`` says it in JSON.

Each piece of work has a process of its own, so that its peak memory is its own, too.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from dbmon_pipeline.core.common.duck import connect, quoted
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.learning_db.create import creating
from dbmon_pipeline.core.warehouse.publish import Publication, publish
from dbmon_pipeline_tests import helpers

_GROUPED = 3

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
    FROM executions WHERE timestamp >= CAST($until AS TIMESTAMP) - INTERVAL 1 HOUR
"""

_LATEST = """
    INSERT INTO executions BY NAME
    SELECT * FROM longer.main.executions WHERE timestamp >= (
        SELECT min(timestamp) FROM (
            SELECT timestamp FROM longer.main.executions ORDER BY timestamp DESC LIMIT {rows}
        )
    )
"""


def cut(longer: Path, path: Path, rows: int) -> None:
    """Make a source of the latest rows of another one."""
    with creating(path) as con:
        con.execute(f"ATTACH {quoted(longer)} AS longer (READ_ONLY)")
        con.execute(_LATEST.format(rows=rows))
        con.execute("DETACH longer")


def next_hour(source: Path, until: datetime) -> None:
    """The owner's next hour is like its last one, which ended then."""
    with connect(source) as con:
        con.execute(_NEXT_HOUR, {"until": until})


def group_by(source: Path) -> dict[str, float]:
    """The bare GROUP BY over the source, the median of warm ones."""
    with connect(source) as con:
        con.execute(_BARE_GROUP_BY).fetchall()
        seconds = [
            _seconds(lambda: con.execute(_BARE_GROUP_BY).fetchall()) for _ in range(_GROUPED)
        ]
    return {"seconds": statistics.median(seconds)}


def refresh(source: Path, home: Path, as_of: datetime) -> dict[str, float]:
    """The work inside a refresh, and what it left."""
    settings = Settings.load(source, home, environ={})
    publishing: list[float] = []

    def timed(*arguments: Any, **options: Any) -> Publication:
        started = time.perf_counter()
        publication = publish(*arguments, **options)
        publishing.append(time.perf_counter() - started)
        return publication

    with patch.object(helpers, "publish", timed):
        started = time.perf_counter()
        done = helpers.refresh_core(settings, as_of)
        seconds = time.perf_counter() - started
    holds = done.holds_ms
    current = settings.home.current.resolve()
    return {
        "seconds": seconds,
        "peak_mb": _peak_mb(),
        "rows": sum(extraction.rows for extraction in done.extractions),
        "executions": done.publication.manifest.executions,
        "longest_hold_ms": max(holds),
        "total_hold_ms": sum(holds),
        "holds": len(holds),
        "publishing_seconds": sum(publishing),
        "publishing_bytes": done.publication.bytes_written,
        "source_bytes": source.stat().st_size,
        "warehouse_bytes": settings.home.warehouse.stat().st_size,
        "published_bytes": sum(file.stat().st_size for file in current.rglob("*.parquet")),
    }


def _peak_mb() -> float:
    """The peak of this program alone: what the process was before it began does not count."""
    [line] = [
        line
        for line in Path("/proc/self/status").read_text("ascii").splitlines()
        if line.startswith("VmHWM:")
    ]
    return int(line.split()[1]) * 1024 / 1e6


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Do one thing in this process, and say what it cost."""
    what, source, *rest = sys.argv[1:]
    said: object = None
    match what, rest:
        case "cut", [path, rows]:
            cut(Path(source), Path(path), int(rows))
        case "next-hour", [until]:
            next_hour(Path(source), datetime.fromisoformat(until))
        case "group-by", []:
            said = group_by(Path(source))
        case "refresh", [home, as_of]:
            said = refresh(Path(source), Path(home), datetime.fromisoformat(as_of))
        case _:
            sys.exit(f"{what} cannot be done")
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main()
