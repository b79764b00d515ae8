"""Whole commands, as a person starts them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from dbmon_pipeline_tests.benchmarks.refresh import sources
from dbmon_pipeline_tests.benchmarks.refresh.processes import DBMON, Ran, call, python, run

_STARTS = 5
_SPARSE = 3
IMPORTS = "import duckdb, msgspec, pydantic, typer"
_NOTHING = f"{IMPORTS}; app = typer.Typer(); app.command()(lambda: None); app([])"
_WEEK_MINUTES = 7 * 24 * 60
_DENSE_MINUTES = 7


@dataclass
class Commands:
    """``dbmon refresh`` on a source of its own home, with ``import dagster`` beside it.

    Attributes:
        source: The source.
        home: The home.
        first: The first refresh.
        hours: The later ones.
        dagster: ``import dagster``, beside each of those.
    """

    source: Path
    home: Path
    first: Ran | None = None
    hours: list[Ran] = field(default_factory=list)
    dagster: list[Ran] = field(default_factory=list)

    def begin(self, as_of: datetime) -> None:
        """Refresh for the first time."""
        self.first = self._refresh(as_of)

    def add_hour(self, as_of: datetime) -> None:
        """Refresh, with ``import dagster`` beside it."""
        self.hours.append(self._refresh(as_of))
        self.dagster.append(python("import dagster"))

    def starts(self, as_of: datetime) -> Iterator[tuple[float, float, float]]:
        """Time the imports, a command that does nothing, and ``dbmon status``."""
        status = (DBMON, "status", "--as-of", as_of.isoformat())
        for _ in range(_STARTS):
            imports, nothing = python(IMPORTS), python(_NOTHING)
            whole = run(*status, environ=self._environ, fails=True)
            yield imports.seconds, nothing.seconds, whole.seconds

    @property
    def _environ(self) -> dict[str, object]:
        return {"DBMON_SOURCE": self.source, "DBMON_HOME": self.home}

    def _refresh(self, as_of: datetime) -> Ran:
        return run(DBMON, "refresh", "--as-of", as_of.isoformat(), environ=self._environ)


def sparse_and_dense(folder: Path, as_of: datetime) -> Iterator[tuple[Ran, Ran]]:
    """Refresh from nothing: a hundred executions, one a week; and the same within a day."""
    made = []
    for name, minutes in (("sparse", _WEEK_MINUTES), ("dense", _DENSE_MINUTES)):
        source = folder / f"{name}.db"
        call(sources.__name__, "few", source, as_of, minutes)
        made.append(source)
    for number in range(_SPARSE):
        sparse, dense = (Commands(source, folder / f"{source.stem}-{number}") for source in made)
        for each in (sparse, dense):
            each.begin(as_of)
        assert sparse.first
        assert dense.first
        yield sparse.first, dense.first
