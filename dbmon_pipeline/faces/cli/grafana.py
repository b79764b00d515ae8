"""``dbmon grafana``: dashboards and alert rules as Grafana provisions them."""

from pathlib import Path
from typing import Annotated

import typer

from dbmon_pipeline.core.common.paths import expanded
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.faces.cli.options import parse_folder
from dbmon_pipeline.faces.cli.output import print_result

grafana = typer.Typer(no_args_is_help=True, help="Dashboards and alert rules for Grafana.")


@grafana.callback()
def _grafana() -> None:
    """Keep the name of export, which would be dropped if it were the only command."""


@grafana.command()
def export(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", parser=parse_folder, help="Where the files are written."),
    ],
) -> None:
    """Write provisioning files: the datasource, the dashboards and an alert rule for each limit."""
    from dbmon_pipeline.outputs.grafana.export import export as write_files

    for path in write_files(Settings.load().config, expanded(folder)):
        print_result(str(path))
