"""Full disks: a small one of memory, or where none may be mounted a limit on files."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SIZE = "64m"
_FILLER = "filler"


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Make a folder a small disk for the length of a block.

    Yields:
        Whether it is; only root may mount one.
    """
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except FileNotFoundError:
        yield False
        return
    if done.returncode:
        yield False
        return
    try:
        yield True
    finally:
        unmount = ["umount", "--lazy", str(folder)]
        subprocess.run(unmount, check=True)


def make_read_only(folder: Path) -> None:
    """Let nobody write to a disk that was mounted by :func:`small_disk`."""
    remount = ["mount", "-o", "remount,ro", str(folder)]
    subprocess.run(remount, check=True)


def fill(folder: Path, room: int) -> None:
    """Leave so many bytes free on a disk."""
    disk = os.statvfs(folder)
    with (folder / _FILLER).open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, disk.f_bavail * disk.f_frsize - room)


def free(folder: Path) -> None:
    """Give the room back."""
    (folder / _FILLER).unlink(missing_ok=True)


def limit_files(largest: int) -> None:
    """Refuse this process to write any file beyond so many bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    # Python would leave the halves of compiled modules behind.
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
