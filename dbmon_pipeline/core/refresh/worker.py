"""Resources for work on a home: its lock, and the reader process that shares it.

A command opens both before its slow imports; the run that it starts in this process takes them.
"""

from __future__ import annotations

from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.home.locks import HomeLock
from dbmon_pipeline.core.source.reader_client import ReaderProcess


class Worker:
    """The lock of a home, not held yet, and a reader process that would share it.

    Attributes:
        lock: The lock.
        reader: The process; it holds the lock for as long as it may write.
    """

    def __init__(self, home: Home) -> None:
        """Open the lock and start the process.

        Raises:
            HomeError: The home cannot be written.
            ReaderError: The process cannot be started.
        """
        self.lock = HomeLock(home)
        self.reader = ReaderProcess(inherit=(self.lock.descriptor,))
        self.reader.start()

    def close(self) -> None:
        """End the process and close the lock."""
        self.reader.close()
        self.lock.close()


_prepared: dict[Home, Worker] = {}


def prepare_worker(home: Home) -> None:
    """Start a worker for the next :func:`take_worker` of this process."""
    if home not in _prepared:
        _prepared[home] = Worker(home)


def take_worker(home: Home) -> Worker:
    """Get a worker to use and to close: the one that was prepared, or a new one.

    Raises:
        HomeError: The home cannot be written.
        ReaderError: The process cannot be started.
    """
    return _prepared.pop(home, None) or Worker(home)
