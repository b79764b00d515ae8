"""``dbmon prometheus``, ``prometheus-rules`` and ``serve-metrics``: what Prometheus is given."""

from pathlib import Path
from typing import Annotated

import typer

from dbmon_pipeline.core.common.paths import expanded
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.faces.cli.options import HomeOption, parse_folder
from dbmon_pipeline.faces.cli.output import print_info, print_result, progress


def prometheus(
    out: Annotated[
        Path | None,
        typer.Option(
            readable=False, help="Write them to this file, for the node exporter: NAME.prom."
        ),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Print what is published as metrics, in Prometheus' text format."""
    settings = Settings.load(home=home)
    path = None if out is None else expanded(out)
    from dbmon_pipeline.outputs.prometheus.metrics import published_metrics
    from dbmon_pipeline.outputs.prometheus.textfile import write_world_readable

    text = published_metrics(settings)
    if path is None:
        print_result(text.rstrip("\n"))
    else:
        write_world_readable(path, text)


def prometheus_rules(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", parser=parse_folder, help="Where to write them.")
    ],
) -> None:
    """Write recording and alert rules made of the rules file, and an example."""
    rules = Settings.load().config.rules
    from dbmon_pipeline.outputs.prometheus.export import write_rule_files

    for path in write_rule_files(rules, expanded(folder)):
        print_info(str(path))


def serve_metrics(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port.")] = 9309,
    host: Annotated[str, typer.Option(help="Where to listen; there is no password.")] = "127.0.0.1",
    home: HomeOption = None,
) -> None:
    """Serve what is published as metrics, at /metrics; Ctrl-C ends it."""
    settings = Settings.load(home=home)
    from dbmon_pipeline.core.common.listen import listening_socket
    from dbmon_pipeline.outputs.prometheus import server

    with progress(), listening_socket(host, port) as listening:
        listening.listen()
        shown = f"[{host}]" if ":" in host else host
        print_info(f"http://{shown}:{port}/metrics of home {settings.home.path}; Ctrl-C ends it")
        server.serve_metrics(settings, listening)
