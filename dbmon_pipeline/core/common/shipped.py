"""Files that ship with the package: ``sql/`` and ``config/``."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[2]


def shipped(*parts: str) -> Path:
    """Return the path of a file or folder that ships with the project.

    An installed wheel holds ``sql``, ``config`` and ``workspace.yaml`` inside the package; in a
    checkout they stand beside it.
    """
    inside = _PACKAGE.joinpath(*parts)
    return inside if inside.exists() else _PACKAGE.parent.joinpath(*parts)


@cache
def sql(folder: str, name: str) -> str:
    """Read the text of ``sql/FOLDER/NAME.sql``."""
    return shipped("sql", folder, f"{name}.sql").read_text("utf-8")


def sql_header(folder: str, name: str) -> list[str]:
    """List the lines of comment at the top of ``sql/FOLDER/NAME.sql``, without the dashes."""
    header = re.match(r"(?:--.*\n)*", sql(folder, name))
    return [line.removeprefix("--").strip() for line in header[0].splitlines()] if header else []
