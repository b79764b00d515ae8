"""``dbmon refresh`` and ``dbmon dev``: the only commands that start Dagster."""

import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from dbmon_pipeline.core.common.errors import ConfigError
from dbmon_pipeline.core.common.instants import iso, parse_as_of
from dbmon_pipeline.core.common.shipped import shipped
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.warehouse.plan import Scope
from dbmon_pipeline.faces.cli.options import HomeOption, SourceOption
from dbmon_pipeline.faces.cli.output import progress, say


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
        typer.Option(help="Refresh as if it were this time: ISO 8601, in the past. [now]"),
    ] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Compare the whole history with the source, not only 48 hours."
        ),
    ] = False,
    accept_shrink: Annotated[
        bool,
        typer.Option(
            "--accept-shrink",
            help="Delete here what the source no longer holds, however much that is.",
        ),
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
        rows = 0
        for first, last in plan.runs:
            say(f"refreshing {first}" if first == last else f"refreshing {first} to {last}")
            done = run_refresh(job, instance, (first, last), instant, accept_shrink=accept_shrink)
            rows += done.rows_extracted
            for warning in done.warnings:
                say(f"warning: {warning}")
    manifest = Published(settings.home).manifest
    through = iso(manifest.data_through) if manifest.data_through else "a part of it"
    say(
        f"published generation {manifest.generation}: {rows:,} new or changed rows;"
        f" the source was read through {through}"
    )


def dev(
    source: SourceOption = None,
    home: HomeOption = None,
    port: Annotated[int, typer.Option(help="The port of the UI on this machine.")] = 3000,
) -> None:
    """Open the Dagster UI, with the daemon that runs the schedules and the sensor."""
    settings = _settings(source, home)
    _refuse_busy_port(port)
    from dbmon_pipeline.orchestration.instance import prepare

    os.environ["DAGSTER_HOME"] = str(prepare(settings.home))
    say(f"http://localhost:{port} on {settings.source}, home {settings.home.path}; Ctrl-C ends it")
    # A shell that starts us in the background lets us ignore the interrupt, and Dagster with us.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    quiet = "ignore:Function `dev_command` is superseded"
    dagster = [sys.executable, "-W", quiet, "-m", "dagster", "dev"]
    where = ["-w", str(shipped("workspace.yaml")), "-p", str(port)]
    os.execv(sys.executable, [*dagster, *where])  # noqa: S606


def _refuse_busy_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(
                f"port {port} cannot be used ({error.strerror})", remedy="name another with --port"
            ) from None
