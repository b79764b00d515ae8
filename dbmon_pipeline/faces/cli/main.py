"""The command ``dbmon``: the assembled commands, and what becomes of an error."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from io import TextIOWrapper

import typer

from dbmon_pipeline.core.common.errors import ConfigError, DbmonError, TimeoutExceededError
from dbmon_pipeline.core.source.reader_client import shared_reader
from dbmon_pipeline.faces.cli.output import ExitCode, exit_at_once, is_interrupt, print_info

_COMMANDS = {
    "refresh": "refresh",
    "status": "status",
    "queries": "ask",
    "query": "ask",
    "sql": "ask",
    "doctor": "doctor",
    "alerts": "alerts",
    "config": "config",
    "mcp": "serve",
    "tables": "tables",
    "show": "tables",
    "dev": "refresh",
    "prepare": "refresh",
    "init": "make",
    "sample": "make",
    "load": "make",
    "archive": "archive",
    "backup": "backup",
    "prometheus": "prometheus",
    "prometheus-rules": "prometheus",
    "serve-metrics": "prometheus",
    "grafana": "grafana",
    "report": "report",
}
"""The module of each command, which has a function of its name, or a group of commands."""
_READ_THE_SOURCE = frozenset({"status", "doctor"})
"""Commands that need the reader process, which starts while they load."""


def _build_app(wanted: str | None) -> typer.Typer:
    """Build the app with only the requested command, since each loads much; or with all."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Monitoring for the DuckDB database in which an orchestrator of AI agents logs its"
        " work.",
    )
    app.callback()(lambda: None)  # A command that is alone is called by its name, too.
    for name in [wanted] if wanted in _COMMANDS else _COMMANDS:
        module = import_module(f"dbmon_pipeline.faces.cli.{_COMMANDS[name]}")
        command = getattr(module, name.replace("-", "_"))
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def main() -> None:
    """Run one command; every failure is one line on stderr and exit code 3."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # programs read it too, whatever the locale
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    sys.exit(_run())


def _check_encoding() -> None:
    """Check that arguments and settings are text, as DuckDB and the files need it.

    Raises:
        ConfigError: It has bytes that are none.
    """
    given = {f"the argument {text!r}": text for text in sys.argv[1:]}
    given |= {name: text for name, text in os.environ.items() if name.startswith("DBMON_")}
    for name, text in given.items():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ConfigError(
                f"{name[:200]} has bytes that are not UTF-8",
                remedy="give a file or folder another name",
            ) from None


def _run() -> ExitCode | int:
    """Run one command.

    Returns:
        The exit code. It is left to the caller to exit, outside of the handling of an error: else
        what was cut off would live until the interpreter has gone, and be complained of.
    """
    try:
        _check_encoding()
        wanted = next(iter(sys.argv[1:]), None)
        if wanted in _READ_THE_SOURCE or "--db" in sys.argv:
            shared_reader().start()
        result = _build_app(wanted)(standalone_mode=False)
    except typer.TyperException as error:
        text = " ".join(error.format_message().split()).rstrip(".")
        if text:  # else the help is shown
            context = getattr(error, "ctx", None)
            print_info(
                f"dbmon: {text}: see '{context.command_path if context else 'dbmon'} --help'"
            )
        return ExitCode.UNKNOWN
    except DbmonError as error:
        print_info(f"dbmon: {error}")
        if isinstance(error, TimeoutExceededError):
            exit_at_once(ExitCode.UNKNOWN)
        return ExitCode.UNKNOWN
    except (KeyboardInterrupt, typer.Abort):
        result = ExitCode.INTERRUPTED
    except Exception as error:
        if isinstance(error, RuntimeError) and is_interrupt(error):
            print_info("dbmon: interrupted; what was published stays")
            exit_at_once(ExitCode.INTERRUPTED)
        if os.environ.get("DBMON_DEBUG"):
            raise
        text = " ".join(f"{type(error).__name__} {error}".split())[:300]
        print_info(f"dbmon: unexpected {text}: set DBMON_DEBUG=1 for the traceback")
        return ExitCode.UNKNOWN
    if result == ExitCode.INTERRUPTED:
        print_info("dbmon: interrupted; what was published stays")
    return result if isinstance(result, int) else ExitCode.OK
