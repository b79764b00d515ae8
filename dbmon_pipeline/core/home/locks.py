"""File locks: they end with the process that holds them, however it ends."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from dbmon_pipeline.core.common.errors import DbmonError, HomeBusyError, HomeError
from dbmon_pipeline.core.common.instants import iso, utc_now
from dbmon_pipeline.core.home.home import Home

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.1


class HomeLock:
    """Lock file of a home, open; held by the one process that works there.

    A process that is started with the descriptor shares the lock: it is free once both have ended.

    Attributes:
        descriptor: The open file.
    """

    def __init__(self, home: Home) -> None:
        """Open the file, and make the home if it does not exist.

        Raises:
            HomeError: The home cannot be written.
        """
        self.descriptor = _open_file(home.lock)
        self._home = home

    def close(self) -> None:
        """Close the file; the lock is given back unless another process shares it."""
        os.close(self.descriptor)

    @contextmanager
    def held(self, who: str, *, wait_seconds: float) -> Iterator[None]:
        """Hold the lock, as the one process that works in the home.

        Args:
            who: What this process does, told to whoever waits.
            wait_seconds: How long to wait for another one to end.

        Raises:
            HomeBusyError: Another process still works there; it is named.
            HomeError: The home cannot be written.
        """
        path = self._home.lock
        deadline = time.monotonic() + wait_seconds
        is_told = False
        while not _try_lock(self.descriptor):
            if not is_told and wait_seconds >= 1:
                logger.info("waiting for %s", holder(path))
                is_told = True
            if time.monotonic() >= deadline:
                raise HomeBusyError(
                    f"{self._home.path} is in use by {holder(path)}",
                    remedy="wait until it has ended, or raise home.lock_wait_seconds",
                )
            time.sleep(_POLL_SECONDS)
        try:
            self._sign(who)
            yield
        finally:
            fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def _sign(self, who: str) -> None:
        """Write into the file who holds the lock, for whoever waits."""
        note = json.dumps({"who": who, "process": os.getpid(), "since": iso(utc_now())})
        try:
            os.ftruncate(self.descriptor, 0)
            os.pwrite(self.descriptor, note.encode(), 0)
        except OSError as error:
            raise _not_writable(self._home.path, error) from None


@contextmanager
def home_lock(home: Home, who: str, *, wait_seconds: float) -> Iterator[None]:
    """Hold the lock of a home, as :meth:`HomeLock.held`.

    Raises:
        HomeBusyError: Another process still works there; it is named.
        HomeError: The home cannot be written.
    """
    with closing(HomeLock(home)) as lock, lock.held(who, wait_seconds=wait_seconds):
        yield


@contextmanager
def glance(path: Path) -> Iterator[bool]:
    """Tell whether a lock file is held; if not, nobody can take it during the block.

    Nothing is written; whoever wants the lock meanwhile has to wait, so be quick.

    Yields:
        Whether somebody holds it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        yield not _try_lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


@contextmanager
def liveness_lock(path: Path) -> Iterator[None]:
    """Show that something lives, by a file that is locked for as long as it does.

    Raises:
        HomeError: The file cannot be written.
    """
    # Whoever looks at the file before it is locked takes it for dead and removes it.
    while True:
        descriptor = _open_file(path)
        try:
            if _try_lock(descriptor) and _is_at(path, descriptor):
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return
        finally:
            os.close(descriptor)
        time.sleep(_POLL_SECONDS)


def is_alive(path: Path) -> bool:
    """Tell whether a file made by :func:`liveness_lock` is still locked; remove one that is not."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if not _try_lock(descriptor):
            return True
        if _is_at(path, descriptor):  # else another process removed it, and one may live there
            path.unlink(missing_ok=True)
        return False
    finally:
        os.close(descriptor)


@contextmanager
def workshop(folder: Path, lock: Path, busy: DbmonError) -> Iterator[None]:
    """Make a private folder for one process at a time, for drafts and whatever must not stay.

    What a killed process has left there is removed, and at the end all the rest.

    Args:
        folder: The folder.
        lock: The lock file, beside it.
        busy: The error that is raised if another process has the folder.

    Raises:
        HomeError: The lock file cannot be written.
        OSError: The folder cannot be made.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    if is_alive(lock):
        raise busy
    with liveness_lock(lock):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        try:
            yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def holder(path: Path) -> str:
    """Name the last holder of a lock of :func:`home_lock`, as it described itself."""
    try:
        note = json.loads(path.read_text("utf-8"))
        return f"{note['who']} (process {note['process']}, since {note['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _open_file(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise _not_writable(path.parent, error) from None


def _not_writable(folder: Path, error: OSError) -> HomeError:
    return HomeError(
        f"{folder} cannot be written ({error.strerror})",
        remedy="name a folder that you may write with --home or DBMON_HOME, and check that its"
        " disk has space",
    )


def _try_lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
