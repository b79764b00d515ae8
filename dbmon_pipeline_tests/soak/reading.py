"""A reader of the published tables that asks all along and never sees a broken generation.

``python -m dbmon_pipeline_tests.soak.reading HOME KEEP PAUSE`` reads, pausing so many seconds,
until its standard input is closed, and then reports as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from dbmon_pipeline.core.common.errors import DbmonError
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.query.open_reader import reading
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.core.schema.catalogue import TABLES
from dbmon_pipeline_tests.soak.companion import until_stdin_closes

_QUESTIONS = ("key_figures", "success_rate_by_model_tier", "top_error_types")
_COUNTS = {
    "hour_ledger": {
        "executions": "sum(executions)",
        "successes": "sum(successes)",
        "errors": "sum(errors)",
        "measured": "sum(duration_count + memory_count)",
        "scored": "sum(complexity_count)",
    },
    "hourly_summary": {
        "executions": "sum(executions)",
        "successes": "sum(successes)",
        "errors": "sum(errors)",
        "measured": "sum(duration_count + memory_count)",
        "scored": "sum(complexity_count)",
    },
    "hourly_totals": {"executions": "sum(executions)", "successes": "sum(successes)"},
    "daily_summary": {
        "executions": "sum(executions)",
        "successes": "sum(successes)",
        "errors": "sum(errors)",
    },
    "tier_performance": {
        "executions": "sum(total_executions)",
        "successes": "sum(successful_count)",
    },
    "pool_performance": {"executions": "sum(total_tasks)", "successes": "sum(successful_tasks)"},
    "error_summary": {"errors": "sum(occurrences)"},
    "daily_error_summary": {"errors": "sum(occurrences)"},
    "hourly_distribution": {"measured": "sum(n)"},
    "daily_distribution": {"measured": "sum(n)"},
    "hourly_complexity": {"scored": "sum(executions)"},
    "daily_complexity": {"scored": "sum(executions)"},
}
"""Counts that several tables have, each in its own way."""


@dataclass
class Seen:
    """Figures of a reader.

    Attributes:
        readings: How often it read a whole generation.
        generations: How many different ones.
        outlived: How often the generation that it was reading was removed, because by then as many
            newer ones as are kept had been published.
        broken: Faults of generations; there may be none.
    """

    readings: int = 0
    generations: int = 0
    outlived: int = 0
    broken: list[str] = field(default_factory=list)


def generation_faults(published: Published) -> tuple[list[str], dict[str, int]]:
    """Find what is wrong with a generation, and figures of all that it holds.

    Raises:
        DbmonError: A file of it is missing or damaged.
    """
    manifest, wrong = published.manifest, []
    figures = {"executions": manifest.executions}
    if set(manifest.tables) != set(TABLES):
        wrong.append(f"its tables are {sorted(manifest.tables)}")
    for table in manifest.tables:
        files = published.files(table)
        there = sorted(path.name for path in (published.folder / table).iterdir())
        if there != sorted(path.name for path in files):
            wrong.append(f"{table} has the files {there}")
        counts = _COUNTS.get(table, {})
        select = ", ".join(("count(*)", "sum(hash(t))", *counts.values()))
        with published.translate_errors(table):
            found = published.con.execute(
                f"SELECT {select} FROM read_parquet($files) AS t",
                {"files": [str(path) for path in files]},
            ).fetchall()
        rows, figures[table], *counted = (int(figure or 0) for figure in found[0])
        if rows != manifest.rows(table):
            wrong.append(f"{table} has {rows} rows, and its manifest says {manifest.rows(table)}")
        for what, count in zip(counts, counted, strict=True):
            if figures.setdefault(what, count) != count:
                wrong.append(f"{table} counts {count} {what}, not {figures[what]}")
    return wrong, figures


class Reader:
    """A reader of one generation after another, which remembers what must not go back."""

    def __init__(self, home: Home, keep: int) -> None:
        """Read nothing yet.

        Args:
            home: The home that is read.
            keep: How many generations stay.
        """
        self.seen = Seen()
        self._home = home
        self._keep = keep
        self._latest = 0
        self._through = datetime.min
        self._figures: dict[int, dict[str, int]] = {}

    def read(self) -> None:
        """Read what is published now, if anything is."""
        if not self._home.current.exists():
            if self._latest:
                self.seen.broken.append(f"nothing is published after generation {self._latest}")
            return
        number = int(self._home.current.resolve().name)
        try:
            with Published(self._home) as published:
                number = published.manifest.generation
                self._look_at(published)
        except (DbmonError, OSError) as error:
            if int(self._home.current.resolve().name) >= number + self._keep:
                self.seen.outlived += 1
            else:
                self.seen.broken.append(f"generation {number}: {error}")

    def _look_at(self, published: Published) -> None:
        manifest = published.manifest
        wrong, figures = generation_faults(published)
        through = manifest.data_through
        with reading(published, manifest.as_of) as reader:
            question = _QUESTIONS[self.seen.readings % len(_QUESTIONS)]
            reader.ask(question, TimeRange.DAY if self.seen.readings % 2 else TimeRange.MONTH)
        if manifest.generation < self._latest:
            wrong.append(f"it came after generation {self._latest}")
        if through < self._through:
            wrong.append(f"it was read through {through}, after one through {self._through}")
        if self._figures.setdefault(manifest.generation, figures) != figures:
            wrong.append(f"it has other figures than before: {figures}")
        self._latest, self._through = manifest.generation, through
        self.seen.readings += 1
        self.seen.generations = len(self._figures)
        self.seen.broken += [f"generation {manifest.generation}: {fault}" for fault in wrong]


def _main(home: Path, keep: int, pause_seconds: float) -> None:
    reader = Reader(Home(home), keep)
    stop = until_stdin_closes()
    while not stop.is_set():
        reader.read()
        time.sleep(pause_seconds)
    reader.read()
    sys.stdout.write(json.dumps(asdict(reader.seen)))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
