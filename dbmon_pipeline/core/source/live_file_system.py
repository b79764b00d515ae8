"""The file system through which DuckDB reads a :class:`LiveView`.

It has the database and its logs and can write none, so SQL reaches nothing else through it. DuckDB
calls it from all of its threads, by an interface that the fsspec package describes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from fsspec import AbstractFileSystem  # type: ignore[import-untyped]

from dbmon_pipeline.core.source.live_view import LiveView

DATABASE = "live://db"


class LiveFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """A file system with the database and the logs of one view.

    Attributes:
        view: What is read. Exchanged between two readings, since a DuckDB instance takes a file
            system only before it is locked down; a file once opened stays with its view.
    """

    protocol = "live"
    cachable = False

    def __init__(self) -> None:
        """Start without files."""
        super().__init__()
        self.view: LiveView | None = None

    def info(self, path: str, **_: Any) -> dict[str, Any]:  # noqa: ANN401 - fsspec's signature
        """Describe one of the files.

        Raises:
            FileNotFoundError: It is another one.
        """
        view = self.view
        sizes = {DATABASE: view.size} if view else {}
        for suffix, log in view.logs.items() if view else ():
            sizes[DATABASE + suffix] = len(log)
        if path not in sizes:
            raise FileNotFoundError(path)
        return {"name": path, "size": sizes[path], "type": "file"}

    def open(self, path: str, mode: str = "rb", **_: Any) -> _OpenFile:  # noqa: ANN401 - fsspec's
        """Open one of the files for reading.

        Raises:
            FileNotFoundError: It is another one, or is to be written.
        """
        size = self.size(path)
        if self.view is None or mode != "rb":
            raise FileNotFoundError(path)
        if path == DATABASE:
            return _OpenFile(self.view.read, size, threading.local())
        log = self.view.logs[path.removeprefix(DATABASE)]
        return _OpenFile(lambda at, count: log[at : at + count], size, SimpleNamespace())

    def glob(self, path: str, **_: Any) -> list[str]:  # noqa: ANN401 - fsspec's signature
        """List the files of a name, which is no pattern here."""
        return [path] if self.isfile(path) else []


class _OpenFile:
    """Part of an open file that DuckDB uses: to read a block it calls ``seek``, then ``read``.

    The database has a position for each thread: another thread may come between the two calls, and
    the checksum of a block does not tell from where in the file it is. A log has one position: it
    is read from beginning to end, though not always on the same thread.
    """

    def __init__(
        self,
        read: Callable[[int, int], bytes],
        size: int,
        position: threading.local | SimpleNamespace,
    ) -> None:
        self._read = read
        self._size = size
        self._position = position

    def seek(self, position: int, whence: int = 0) -> int:  # noqa: ARG002 - always from the start
        self._position.value = position
        return position

    def read(self, size: int = -1) -> bytes:
        position = self.tell()
        content = self._read(position, size if size >= 0 else self._size - position)
        self.seek(position + len(content))
        return content

    def tell(self) -> int:
        return int(getattr(self._position, "value", 0))

    def close(self) -> None:
        """Leave the descriptor to the view."""

    def flush(self) -> None:
        """Do nothing: there is nothing to write."""
