"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.faces.cli.output import Format

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", readable=False, help="The working folder. [DBMON_HOME, .dbmon]"),
]
SourceOption = Annotated[
    Path | None,
    typer.Option(
        "--source", readable=False, help="The learning.db. [DBMON_SOURCE, data/learning.db]"
    ),
]
DatabaseOption = Annotated[
    Path | None,
    typer.Option(
        "--db", readable=False, help="Look into this learning.db directly; needs no home."
    ),
]
RangeOption = Annotated[TimeRange, typer.Option("--time-range", help="How far back to look.")]
AsOfOption = Annotated[
    str | None, typer.Option("--as-of", help="Speak for this time: ISO 8601, in the past. [now]")
]
FormatOption = Annotated[Format, typer.Option("--format", help="How to print.")]


def parse_folder(text: str) -> Path:
    """Parse the name of a folder; an unset shell variable names none.

    Raises:
        BadParameter: It is empty.
    """
    if not text:
        raise typer.BadParameter("no folder is named; write . for the working folder")
    return Path(text)
