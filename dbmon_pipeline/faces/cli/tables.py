"""``dbmon tables`` and ``dbmon show``: what is published, row by row."""

from typing import Annotated

import typer

from dbmon_pipeline.core.common.instants import iso
from dbmon_pipeline.core.common.rows import Rows
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.faces.cli.options import FormatOption, HomeOption
from dbmon_pipeline.faces.cli.output import Format, print_rows


def tables(home: HomeOption = None, format: FormatOption = Format.TABLE) -> None:  # noqa: A002
    """List the published tables."""
    manifest = Published(Settings.load(home=home).home).manifest
    through = iso(manifest.data_through) if manifest.data_through else None
    rows: list[tuple[object, ...]] = [
        (name, manifest.rows(name), len(files), through) for name, files in manifest.tables.items()
    ]
    print_rows(Rows(("table", "rows", "files", "data_through"), rows), format)


def show(
    table: Annotated[str, typer.Argument(help="One of those that dbmon tables lists.")],
    home: HomeOption = None,
    limit: Annotated[
        int, typer.Option(min=1, help="Print so many rows, the last in the order of the key.")
    ] = 20,
    format: FormatOption = Format.TABLE,  # noqa: A002
) -> None:
    """Print rows of a published table."""
    print_rows(Published(Settings.load(home=home).home).rows(table, limit=limit), format)
