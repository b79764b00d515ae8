"""``dbmon backup``: a copy of what is published, for ``dbmon refresh --from-backup``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dbmon_pipeline.core.common.paths import expanded
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.generation.backup import back_up
from dbmon_pipeline.faces.cli.options import HomeOption, parse_folder
from dbmon_pipeline.faces.cli.output import print_info


def backup(
    folder: Annotated[
        Path,
        typer.Argument(
            parser=parse_folder, help="A new or empty folder, or a backup, which is replaced."
        ),
    ],
    home: HomeOption = None,
) -> None:
    """Back up what is published, also while it is refreshed.

    Incidents and Dagster's history are not part of it.
    """
    settings = Settings.load(None, home)
    made = back_up(settings.home, expanded(folder).absolute())
    print_info(
        f"backed up generation {made.manifest.generation}, {made.files} files of"
        f" {made.size_bytes / 1e6:,.1f} MB, in {made.folder}"
        + (" as links, since it is on the same disk" if made.is_linked else "")
    )
