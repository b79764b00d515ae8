"""The command ``dbmon``: the assembled commands, and what becomes of an error."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper

import typer

from dbmon_pipeline.core.errors import DbmonError
from dbmon_pipeline.faces.cli import ask, make, refresh, serve, status, tables
from dbmon_pipeline.faces.cli.output import ExitCode, is_interrupt, say

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Monitoring for the DuckDB database in which an orchestrator of AI agents logs its work.",
)
for command in (
    refresh.refresh,
    status.status,
    ask.queries,
    ask.query,
    ask.sql,
    serve.mcp,
    tables.tables,
    tables.show,
    refresh.dev,
    make.init,
    make.sample,
    make.load,
):
    app.command()(command)


def main() -> None:
    """Run one command; every failure is one line on stderr and exit code 3."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # programs read it too, whatever the locale
            stream.reconfigure(encoding="utf-8")
    try:
        result = app(standalone_mode=False)
    except typer.TyperException as error:
        text = " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".")
        if text:  # else the help is shown
            say(f"dbmon: {text}: see 'dbmon --help'")
        sys.exit(ExitCode.UNKNOWN)
    except DbmonError as error:
        say(f"dbmon: {error}")
        sys.exit(ExitCode.UNKNOWN)
    except (KeyboardInterrupt, typer.Abort):
        result = ExitCode.INTERRUPTED
    except Exception as error:
        if isinstance(error, RuntimeError) and is_interrupt(error):
            say("dbmon: interrupted; what was published stays")
            sys.exit(ExitCode.INTERRUPTED)
        if os.environ.get("DBMON_DEBUG"):
            raise
        text = " ".join(f"{type(error).__name__} {error}".split())[:300]
        say(f"dbmon: unexpected {text}: set DBMON_DEBUG=1 for the traceback")
        sys.exit(ExitCode.UNKNOWN)
    if result == ExitCode.INTERRUPTED:
        say("dbmon: interrupted; what was published stays")
    sys.exit(result if isinstance(result, int) else ExitCode.OK)
