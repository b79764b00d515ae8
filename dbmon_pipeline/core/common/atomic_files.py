"""Files written whole: a reader sees the old text or the new one, never a part."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_TAIL = 40
"""The letters of a file name that its draft keeps, whose name may not be too long."""


def write_whole(path: Path, text: str, *, mode: int | None = None) -> None:
    """Write a file so that a reader sees the old text or the new one, never a part.

    Args:
        path: The file.
        text: What it shall hold.
        mode: Its permissions, whatever the umask; left out, those that the umask leaves.
    """
    write_together({path: text}, mode=mode)


def write_together(texts: Mapping[Path, str], *, mode: int | None = None) -> None:
    """Write several files whole, and none of them if there is no room for all.

    A link stays, and what it leads to is written.
    """
    drafts: dict[Path, Path] = {}
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            target = _target(path)
            draft = drafts[target] = target.with_name(f".{target.name[-_TAIL:]}.{os.getpid()}.tmp")
            with draft.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if mode is not None:
                draft.chmod(mode)
        for target, draft in drafts.items():
            draft.replace(target)
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)


def _target(path: Path) -> Path:
    """Return the file to replace; refuse a folder, a device or a pipe."""
    with suppress(FileNotFoundError):
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(kind):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return path.resolve() if path.is_symlink() else path


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Flush the new files and all folders below a folder to the disk; links are there already."""
    for path in folder.rglob("*"):
        if path.is_dir() or path.stat().st_nlink == 1:
            sync(path)
    sync(folder)
