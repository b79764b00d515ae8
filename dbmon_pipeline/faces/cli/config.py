"""``dbmon config``: the rules file."""

from pathlib import Path
from typing import Annotated

import typer

from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.faces.cli.output import print_result

config = typer.Typer(no_args_is_help=True, help="The rules file.")


@config.callback()
def _config() -> None:
    """Keep the name of validate, which would be dropped if it were the only command."""


@config.command()
def validate(
    file: Annotated[
        Path | None,
        typer.Argument(readable=False, help="A rules file. [DBMON_CONFIG, the shipped one]"),
    ] = None,
) -> None:
    """Read the rules file, and tell the first thing that is wrong by line and key."""
    config = Settings.load(rules=file).config
    enabled = [name for name, rule in config.rules.items() if rule.enabled]
    targets = [name for name, target in config.notifications.targets.items() if target.enabled]
    print_result(f"{len(enabled)} rules are enabled: {', '.join(enabled) or 'none'}")
    print_result(f"{len(targets)} targets are told: {', '.join(targets) or 'none'}")
