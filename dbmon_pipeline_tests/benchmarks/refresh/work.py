"""The work that is measured inside a process: ``python -m ...work WHAT SOURCE ...`` prints JSON.

Each piece has a process of its own, so that its memory and its processor time are its own, too.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from dbmon_pipeline.core.changes.request import RefreshRequest
from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.common.errors import SourceError
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.refresh.refresh import Publication, open_refresh
from dbmon_pipeline.core.refresh.worker import Worker
from dbmon_pipeline.core.rollup.result import RolledUp

Figures = dict[str, float]
_GROUPED = 3
_LOCK_WAIT_SECONDS = 60.0

_BARE_GROUP_BY = """
    SELECT
        date_trunc('hour', timestamp), repo, task_type, model_tier, pool_type,
        count(*), count(*) FILTER (WHERE success), sum(duration_seconds), sum(actual_cost),
        sum(cost_estimate), sum(quality_score), sum(peak_memory_mb), sum(estimated_tokens)
    FROM executions GROUP BY ALL
"""


def group_by(source: Path) -> float:
    """Time the bare GROUP BY over the source: the median of warm ones, in seconds."""
    with connect(source) as con:
        con.execute(_BARE_GROUP_BY).fetchall()
        return statistics.median(
            _seconds(lambda: con.execute(_BARE_GROUP_BY).fetchall()) for _ in range(_GROUPED)
        )


def refresh(source: Path, home: Path, as_of: datetime) -> Figures:
    """Do the work inside a refresh, as ``dbmon refresh`` does it, and describe what it left."""
    settings = Settings.load(source, home, environ={})
    cpu_before = _cpu_seconds(resource.RUSAGE_SELF)
    worker = Worker(settings.home)
    try:
        worker.reader.request("ping")  # The command starts it long before its work begins.
        started = time.perf_counter()
        rolled_up, publication, phases = _phases(settings, worker, as_of)
        seconds = time.perf_counter() - started
    finally:
        worker.close()
    if rolled_up.source_differences or rolled_up.ledger_differences:
        raise AssertionError(f"tables differ: {rolled_up.ledger_differences}")
    return {
        "seconds": seconds,
        "cpu_seconds": _cpu_seconds(resource.RUSAGE_SELF)
        - cpu_before
        + _cpu_seconds(resource.RUSAGE_CHILDREN),
        **{f"{name} seconds": taken for name, taken in phases.items()},
        "rows": rolled_up.changes.rows_read,
        "executions": publication.manifest.executions,
        "bytes_written": publication.bytes_written,
        "files_written": publication.files_written,
        "bytes_read": rolled_up.reading.bytes_read,
        "thrown_away": rolled_up.reading.thrown_away,
        "source_bytes": source.stat().st_size,
        "published_bytes": stored_bytes(settings.home.current.resolve()),
        "home_bytes": stored_bytes(settings.home.path, without=settings.home.dagster),
    }


def _phases(
    settings: Settings, worker: Worker, as_of: datetime
) -> tuple[RolledUp, Publication, Figures]:
    with (
        worker.lock.held("the bench", wait_seconds=_LOCK_WAIT_SECONDS),
        open_refresh(settings, RefreshRequest(as_of=as_of)) as work,
    ):
        rolled_up = work.read(worker.reader, lambda _: None)
        read = time.perf_counter()
        work.judge()
        judged = time.perf_counter()
        publication = work.publish()
        published = time.perf_counter()
    phases = {"judge": judged - read, "publish": published - judged}
    return rolled_up, publication, {**rolled_up.seconds, **phases}


def refresh_on_and_on(source: Path, home: Path, as_of: datetime, seconds: float) -> Figures:
    """Refresh again and again for a time, while the owner writes."""
    settings = Settings.load(source, home, environ={})
    done, failed, thrown_away = 0, 0, 0
    worker = Worker(settings.home)
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            try:
                rolled_up, _, _ = _phases(settings, worker, as_of)
            except SourceError:
                failed += 1
            else:
                done += 1
                thrown_away += rolled_up.reading.thrown_away
    finally:
        worker.close()
    return {"refreshes": done, "failed": failed, "thrown_away": thrown_away}


def group_on_and_on(source: Path, seconds: float) -> Figures:
    """Compute the bare GROUP BY again and again for a time: as much work, but on another file."""
    done = 0
    until = time.monotonic() + seconds
    with connect(source) as con:
        while time.monotonic() < until:
            con.execute(_BARE_GROUP_BY).fetchall()
            done += 1
    return {"grouped": done}


def stored_bytes(folder: Path, *, without: Path | None = None) -> int:
    """Add up the sizes of the files in a folder; one that has several names counts once."""
    files = {}
    for path in folder.rglob("*"):
        if (
            path.is_file()
            and not path.is_symlink()
            and not (without and path.is_relative_to(without))
        ):
            stat = path.stat()
            files[stat.st_ino] = stat.st_size
    return sum(files.values())


def _cpu_seconds(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Do one piece of work in this process, and print what it cost."""
    what, source, *rest = sys.argv[1:]
    figures: object = None
    match what, rest:
        case "group-by", []:
            figures = group_by(Path(source))
        case "refresh", [home, as_of]:
            figures = refresh(Path(source), Path(home), datetime.fromisoformat(as_of))
        case "refresh-on-and-on", [home, as_of, seconds]:
            instant = datetime.fromisoformat(as_of)
            figures = refresh_on_and_on(Path(source), Path(home), instant, float(seconds))
        case "group-on-and-on", [seconds]:
            figures = group_on_and_on(Path(source), float(seconds))
        case _:
            sys.exit(f"unknown work: {what}")
    sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    main()
