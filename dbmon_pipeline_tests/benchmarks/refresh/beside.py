"""An owner's writes beside refreshes, beside as much work on another file, and alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dbmon_pipeline.core.common.instants import HOUR
from dbmon_pipeline_tests.benchmarks.refresh import owner, work
from dbmon_pipeline_tests.benchmarks.refresh.histories import Figures, History
from dbmon_pipeline_tests.benchmarks.refresh.processes import BenchError, call
from dbmon_pipeline_tests.benchmarks.refresh.sources import END
from dbmon_pipeline_tests.helpers import clean_environ

_LONGER = 1.0
"""Seconds that the other work begins before the writes."""


@dataclass(frozen=True)
class OwnerFigures:
    """The writes of an owner of one kind.

    Attributes:
        way: Whether it holds its file open or opens it for each write.
        alone: Its writes while nothing else ran.
        beside_work: Those beside the bare GROUP BY, again and again, over another file.
        beside_refreshes: Those beside refreshes, one after the other.
        refreshes: How many of these there were, and how many readings were thrown away.
    """

    way: str
    alone: Figures
    beside_work: Figures
    beside_refreshes: Figures
    refreshes: Figures


def measure_owners(history: History, seconds: float) -> Iterator[OwnerFigures]:
    """Measure both kinds of owner on copies of a source.

    Raises:
        BenchError: A process failed.
    """
    for way in owner.WAYS:
        folder = history.folder.with_name(f"{history.rows}-owner-{way}")
        folder.mkdir()
        source = folder / "learning.db"
        shutil.copy(history.source, source)
        as_of = END + HOUR
        call(work.__name__, "refresh", source, folder / "home", as_of)
        writes = (owner.__name__, source, way, seconds)
        alone = call(*writes)
        with _beside("group-on-and-on", history.source, seconds + _LONGER):
            beside_work = call(*writes)
        refreshing = (source, folder / "home", as_of, seconds + _LONGER)
        with _beside("refresh-on-and-on", *refreshing) as refreshes:
            beside_refreshes = call(*writes)
        yield OwnerFigures(way, alone, beside_work, beside_refreshes, refreshes)


@contextmanager
def _beside(*work_and_arguments: object) -> Iterator[Figures]:
    """Have other work done meanwhile; what it prints is there after the block."""
    figures: Figures = {}
    process = subprocess.Popen(
        [sys.executable, "-m", work.__name__, *map(str, work_and_arguments)],
        env=clean_environ(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield figures
        output, _ = process.communicate()
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        raise BenchError(f"{work_and_arguments[0]} failed with {process.returncode}")
    figures.update(json.loads(output.splitlines()[-1]))
