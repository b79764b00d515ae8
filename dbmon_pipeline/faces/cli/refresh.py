"""``dbmon refresh``, ``dev`` and ``prepare``: the commands that start Dagster or make its home."""

import logging
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from dbmon_pipeline.core.changes.request import parse_request
from dbmon_pipeline.core.common.errors import ConfigError
from dbmon_pipeline.core.common.instants import iso
from dbmon_pipeline.core.common.paths import expanded
from dbmon_pipeline.core.common.shipped import shipped
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.home.locks import home_lock
from dbmon_pipeline.core.refresh.worker import prepare_worker
from dbmon_pipeline.faces.cli.options import HomeOption, SourceOption, parse_folder
from dbmon_pipeline.faces.cli.output import print_info, print_result, progress


def _settings(source: Path | None, home: Path | None) -> Settings:
    """Load the settings, and write them to the environment, where Dagster's code looks."""
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
    since: Annotated[
        str | None,
        typer.Option(help="Read this day (YYYY-MM-DD) and later ones again, changed or not."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="The last day to read again with --since. [today]")
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
    from_backup: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            parser=parse_folder,
            help="Go on from what dbmon backup made; nothing may be published in the home yet.",
        ),
    ] = None,
) -> None:
    """Find what changed in the source, roll it up, check it and publish it.

    Exits with 0 when it published and with 3 when it did not.
    """
    settings = _settings(source, home)
    parse_request(as_of=as_of, since=since, until=until)
    if from_backup is not None:
        _restore(settings, expanded(from_backup).absolute())
    prepare_worker(settings.home)
    from dbmon_pipeline.definitions import defs
    from dbmon_pipeline.orchestration.instance import open_instance, run_refresh

    logging.getLogger("dagster").setLevel(logging.ERROR)
    with progress(), open_instance(settings.home) as instance:
        result = run_refresh(
            defs.resolve_job_def("refresh"),
            instance,
            as_of=as_of,
            since=since,
            until=until,
            full=full,
            accept_shrink=accept_shrink,
        )
    for warning in result.warnings:
        print_info(f"warning: {warning}")
    print_info(
        f"published generation {result.generation}: {result.rows_read:,} new or changed rows;"
        f" the source was read through {iso(result.data_through)}"
    )


def _restore(settings: Settings, folder: Path) -> None:
    """Publish a backup, which the refresh goes on from."""
    from dbmon_pipeline.core.generation.backup import restore_backup

    wait = settings.config.home.lock_wait_seconds
    with home_lock(settings.home, "dbmon refresh --from-backup", wait_seconds=wait):
        manifest = restore_backup(settings.home, folder)
    print_info(f"took up generation {manifest.generation} of {folder}, as of {iso(manifest.as_of)}")


def dev(
    source: SourceOption = None,
    home: HomeOption = None,
    port: Annotated[int, typer.Option(help="The port of the UI on this machine.")] = 3000,
) -> None:
    """Open the Dagster UI, with the daemon that runs the schedules and the sensor."""
    settings = _settings(source, home)
    _refuse_busy_port(port)
    _warn_of_source(settings)
    from dbmon_pipeline.orchestration import instance

    os.environ["DAGSTER_HOME"] = str(instance.prepare(settings.home))
    print_info(
        f"http://localhost:{port} on {settings.source}, home {settings.home.path}; Ctrl-C ends it"
    )
    # A shell that starts us in the background lets us ignore the interrupt, and Dagster with us.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    quiet = "ignore:Function `dev_command` is superseded"
    dagster = [sys.executable, "-W", quiet, "-m", "dagster", "dev"]
    where = ["-w", str(shipped("workspace.yaml")), "-p", str(port)]
    os.execv(sys.executable, [*dagster, *where])  # noqa: S606


def prepare(home: HomeOption = None) -> None:
    """Create the Dagster instance of the home, and print its folder, for DAGSTER_HOME.

    Two services that started at the same time in an empty folder would both make its tables.
    """
    settings = Settings.load(home=home)
    from dbmon_pipeline.orchestration.instance import open_instance

    with open_instance(settings.home):
        print_result(str(settings.home.dagster))


def _warn_of_source(settings: Settings) -> None:
    """Print what is wrong with the source; it may be mended while the UI is open."""
    from dbmon_pipeline.core.doctor import check_source
    from dbmon_pipeline.core.doctor.finding import Level, run_check
    from dbmon_pipeline.core.source.reader_client import shared_reader

    checks = {
        "source": check_source.source_file,
        "source schema": check_source.source_schema,
        "source of home": check_source.source_of_the_home,
    }
    for name, check in checks.items():
        for finding in run_check(name, partial(check, settings)):
            if finding.level is not Level.OK:
                print_info(f"{finding.level}: {finding.seen}: {finding.remedy}")
    shared_reader().close()


def _refuse_busy_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(
                f"port {port} cannot be used ({error.strerror})", remedy="name another with --port"
            ) from None
