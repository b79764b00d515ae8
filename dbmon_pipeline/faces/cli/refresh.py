"""``dbmon refresh`` and ``dbmon dev``: the only commands that start Dagster."""

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from dbmon_pipeline.core.files import shipped
from dbmon_pipeline.core.instants import iso, parse_as_of
from dbmon_pipeline.core.plan import Scope
from dbmon_pipeline.core.published import Published
from dbmon_pipeline.core.settings import Settings
from dbmon_pipeline.faces.cli.output import progress, say

SourceOption = Annotated[
    Path | None,
    typer.Option(
        "--source", readable=False, help="The learning.db. [DBMON_SOURCE, data/learning.db]"
    ),
]
HomeOption = Annotated[
    Path | None,
    typer.Option("--home", readable=False, help="The working folder. [DBMON_HOME, .dbmon]"),
]


def _settings(source: Path | None, home: Path | None) -> Settings:
    """Settings from the options; written to the environment, where Dagster's code looks."""
    settings = Settings.load(source, home)
    os.environ["DBMON_SOURCE"] = str(settings.source)
    os.environ["DBMON_HOME"] = str(settings.home.path)
    return settings


def refresh(
    source: SourceOption = None,
    home: HomeOption = None,
    as_of: Annotated[
        str | None,
        typer.Option(help="Speak for this ISO 8601 instant, which must have passed. [now]"),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Compare the whole history, not the last 48 hours alone.")
    ] = False,
) -> None:
    """Extract what changed, roll it up, check it and publish it.

    Exits with 0 when it published and with 3 when it did not.
    """
    settings = _settings(source, home)
    instant = parse_as_of(as_of)
    from dbmon_pipeline.definitions import defs
    from dbmon_pipeline.orchestration.instance import opened, run_refresh
    from dbmon_pipeline.orchestration.planning import planned

    logging.getLogger("dagster").setLevel(logging.ERROR)
    with progress(), opened(settings.home) as instance:
        plan = planned(
            settings,
            instance,
            Scope.FULL if full else Scope.RECENT,
            instant,
            who="dbmon refresh",
            wait_seconds=settings.config.home.lock_wait_seconds,
        )
        job = defs.resolve_job_def("refresh")
        for first, last in plan.runs:
            say(f"refreshing {first}" if first == last else f"refreshing {first} to {last}")
            run_refresh(job, instance, (first, last), instant)
    manifest = Published(settings.home).manifest
    through = iso(manifest.data_through) if manifest.data_through else "not yet known"
    say(
        f"published generation {manifest.generation}:"
        f" {manifest.rows('recent_executions'):,} executions in the last 48 hours,"
        f" data through {through}"
    )


def dev(
    source: SourceOption = None,
    home: HomeOption = None,
    port: Annotated[int, typer.Option(help="The port of the UI on this machine.")] = 3000,
) -> None:
    """Open the Dagster UI, with the daemon that runs the schedules and the sensor."""
    settings = _settings(source, home)
    from dbmon_pipeline.orchestration.instance import prepare

    os.environ["DAGSTER_HOME"] = str(prepare(settings.home))
    dagster = Path(sys.executable).with_name("dagster")
    workspace = shipped("workspace.yaml")
    os.execv(dagster, [str(dagster), "dev", "-w", str(workspace), "-p", str(port)])  # noqa: S606
