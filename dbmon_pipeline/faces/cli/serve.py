"""``dbmon mcp``: the server for agents."""

import os
from typing import Annotated

import typer

from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.faces.cli.options import HomeOption, SourceOption
from dbmon_pipeline.faces.cli.output import print_info


def mcp(
    http: Annotated[
        bool, typer.Option("--http", help="Serve streamable HTTP at /mcp instead of stdio.")
    ] = False,
    host: Annotated[
        str, typer.Option(help="Where to listen; beyond this machine DBMON_MCP_TOKEN is needed.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port.")] = 3001,
    source: SourceOption = None,
    home: HomeOption = None,
) -> None:
    """Serve the status, the reports and the questions to agents (MCP)."""
    settings = Settings.load(source, home)
    from dbmon_pipeline.faces.mcp.http import check_address, serve_http
    from dbmon_pipeline.faces.mcp.server import make_server

    server = make_server(settings)
    if not http:
        server.run("stdio")
        return
    token = os.environ.get("DBMON_MCP_TOKEN", "")
    check_address(host, port, token)
    shown = f"[{host}]" if ":" in host else host
    print_info(f"http://{shown}:{port}/mcp on home {settings.home.path}; Ctrl-C ends it")
    serve_http(server, settings, host, port, token)
