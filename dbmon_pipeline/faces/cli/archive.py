"""``dbmon archive``: a source's old rows as Parquet, and the SQL with which to delete them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from dbmon_pipeline.core.archive.archive import Archive
from dbmon_pipeline.core.archive.archive import archive as write_archive
from dbmon_pipeline.core.common.errors import ConfigError
from dbmon_pipeline.core.common.paths import expanded
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.faces.cli.options import HomeOption, SourceOption
from dbmon_pipeline.faces.cli.output import print_info, print_json, print_result


def archive(
    before: Annotated[
        str, typer.Option(metavar="DATE", help="Archive the rows before this day, UTC.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(readable=False, help="The folder of the files. [archive in the home]"),
    ] = None,
    source: SourceOption = None,
    home: HomeOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was archived, and the SQL, as JSON.")
    ] = False,
) -> None:
    """Write old executions to Parquet, one file per month, and print SQL that deletes them.

    The source itself is never written. Nothing in the files is redacted.
    """
    settings = Settings.load(source, home)
    day = _day(before)
    folder = (expanded(out) if out else settings.home.path / "archive").absolute()
    result = write_archive(settings, day, folder)
    warnings = _warnings(result)
    for warning in warnings:
        print_info(f"warning: {warning}")
    if as_json:
        print_json(_record(result, settings, day, warnings))
    elif result.archived.delete_sql:
        comments = [f"-- Warning: {' '.join(warning.split())}." for warning in warnings]
        print_result("\n".join([*comments, result.archived.delete_sql]))
    print_info(_summary(result, settings, day))


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(
            f"{text!r} is not a date", remedy="write --before as in 2026-03-15"
        ) from None


def _warnings(result: Archive) -> list[str]:
    warnings, archived = [], result.archived
    if result.not_published:
        warnings.append(
            f"the summaries do not hold all of these rows ({result.not_published}):"
            " run dbmon refresh --full before you delete them"
        )
    if archived.rows_without_timestamp:
        warnings.append(f"{archived.rows_without_timestamp:,} rows without a timestamp stay")
    if archived.rows_before_1970:
        warnings.append(f"{archived.rows_before_1970:,} rows from before 1970 stay")
    return warnings


def _record(
    result: Archive, settings: Settings, before: date, warnings: list[str]
) -> dict[str, object]:
    archived = result.archived
    return {
        "source": str(settings.source),
        "read_as": archived.read_as,
        "before": before.isoformat(),
        "rows": archived.rows,
        "files": [
            {
                "path": str(result.folder / file.name),
                "rows": file.rows,
                "size_bytes": file.size_bytes,
                "is_new": file.is_new,
            }
            for file in archived.files
        ],
        "rows_without_timestamp": archived.rows_without_timestamp,
        "rows_before_1970": archived.rows_before_1970,
        "warnings": warnings,
        "delete_sql": archived.delete_sql,
    }


def _summary(result: Archive, settings: Settings, before: date) -> str:
    files = result.archived.files
    if not files:
        return f"{settings.source} has no rows before {before} to archive"
    old_files = sum(not file.is_new for file in files)
    size = sum(file.size_bytes for file in files) / 1e6
    return (
        f"{result.archived.rows:,} rows before {before} are in {len(files)}"
        f" file{'' if len(files) == 1 else 's'} of {size:,.1f} MB in {result.folder}"
        + (f"; {old_files} of them had been written before" if old_files else "")
    )
