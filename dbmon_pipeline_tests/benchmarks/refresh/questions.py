"""The bench of the questions: each over 90 days, beside its raw form, in one process.

``make bench`` runs it over the home that it has just refreshed and the source of that.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from dbmon_pipeline.core.common.duck import connect, quoted
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.query.open_reader import reading
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.query.questions import questions
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline_tests.benchmarks.refresh.raw_questions import RAW

_ASKED = 9
_ASKED_RAW = 3


def measure(home: Home, source: Path, as_of: datetime) -> dict[str, dict[str, float]]:
    """Time each question in milliseconds: the first answer, the median warm one, the raw form."""
    figures = {}
    published = Published(home, in_memory=True)
    with connect() as con:
        con.execute(f"ATTACH {quoted(source)} AS source (READ_ONLY)")
        con.execute("CREATE VIEW raw AS FROM source.main.executions")
        for name in questions():

            def ask(name: str = name) -> None:
                with reading(published, as_of) as reader:
                    reader.ask(name, TimeRange.QUARTER)

            with reading(published, as_of) as reader:
                window = reader.window(TimeRange.QUARTER)
            bounds = {"since": window.start, "until": window.end}

            def ask_raw(name: str = name, bounds: dict[str, datetime] = bounds) -> None:
                con.execute(RAW[name], bounds).fetchall()

            first = _milliseconds(ask)
            warm = statistics.median(_milliseconds(ask) for _ in range(_ASKED))
            ask_raw()
            raw = statistics.median(_milliseconds(ask_raw) for _ in range(_ASKED_RAW))
            figures[name] = {"first_ms": first, "warm_ms": warm, "raw_ms": raw}
    return figures


def _milliseconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    place, source, instant = sys.argv[1:]
    figures = measure(Home(Path(place)), Path(source), datetime.fromisoformat(instant))
    sys.stdout.write(json.dumps(figures))
