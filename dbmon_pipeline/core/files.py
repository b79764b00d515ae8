"""Files: those the package ships (``sql/``, ``config/``), and how one is written whole."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped(*parts: str) -> Path:
    """A file or folder that ships with the project.

    An installed wheel holds ``sql``, ``config`` and ``workspace.yaml`` inside the package; in a
    checkout they stand beside it.
    """
    inside = _PACKAGE.joinpath(*parts)
    return inside if inside.exists() else _PACKAGE.parent.joinpath(*parts)


@cache
def sql(folder: str, name: str) -> str:
    """The text of ``sql/FOLDER/NAME.sql``."""
    return shipped("sql", folder, f"{name}.sql").read_text("utf-8")


def write_whole(path: Path, text: str, *, mode: int | None = None) -> None:
    """Write a file so that a reader sees the old text or the new one, never a part.

    Args:
        path: The file.
        text: What it shall hold.
        mode: Its permissions, whatever the umask; left out, those that the umask leaves.
    """
    write_together({path: text}, mode=mode)


def write_together(texts: Mapping[Path, str], *, mode: int | None = None) -> None:
    """Write several files whole, and none of them if there is no room for all."""
    drafts = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in texts}
    try:
        for path, draft in drafts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            with draft.open("w", encoding="utf-8") as file:
                file.write(texts[path])
                file.flush()
                os.fsync(file.fileno())
            if mode is not None:
                draft.chmod(mode)
        for path, draft in drafts.items():
            draft.replace(path)
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)
