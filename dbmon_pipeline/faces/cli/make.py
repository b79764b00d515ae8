"""The commands that make a learning database: empty, made up, or from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dbmon_pipeline.core.common.instants import parse_instant, utc_now
from dbmon_pipeline.core.learning_db import create as learning_db
from dbmon_pipeline.core.learning_db import load as loading
from dbmon_pipeline.core.learning_db.sample import Scenario, make_sample
from dbmon_pipeline.faces.cli.output import print_info

NewDatabase = Annotated[Path, typer.Argument(help="The database to make; never an existing file.")]


def init(path: NewDatabase) -> None:
    """Make an empty learning database."""
    learning_db.create(path)
    print_info(
        f"made {path}, an empty learning database of schema version {learning_db.SCHEMA_VERSION}"
    )


def sample(
    path: NewDatabase,
    rows: Annotated[int, typer.Option(help="How many executions.")] = 50_000,
    days: Annotated[int, typer.Option(help="Over how many days they are spread.")] = 30,
    end: Annotated[
        str | None, typer.Option(help="The instant they end before, ISO 8601; by default now.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed; the same seed gives the same rows.")] = 1,
    scenario: Annotated[
        Scenario,
        typer.Option(
            help="incident: the large tier fails for 4 hours that end 2 hours before the end; "
            "drift: the actual cost creeps up to 1.6 times the estimate."
        ),
    ] = Scenario.HEALTHY,
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Give each row an embedding, of 1.5 kB.")
    ] = False,
) -> None:
    """Make a learning database of made-up executions."""
    until = utc_now() if end is None else parse_instant(end)
    make_sample(
        path,
        rows=rows,
        days=days,
        end=until,
        seed=seed,
        scenario=scenario,
        embeddings=embeddings,
    )
    print_info(f"made {path} with {rows} made-up executions ({scenario}) over {days} days")


def load(
    file: Annotated[Path, typer.Argument(help="Parquet, CSV, TSV or JSON; columns by name.")],
    path: NewDatabase,
) -> None:
    """Make a learning database of the executions in a file."""
    count = loading.load(file, path)
    print_info(f"made {path} with {count} executions from {file}")
