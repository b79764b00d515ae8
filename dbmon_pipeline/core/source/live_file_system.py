"""The file system through which DuckDB reads a :class:`LiveView`.

It has two files and can write neither, so SQL reaches nothing else through it. DuckDB calls it from
all of its threads, by an interface that the fsspec package describes.
"""

from __future__ import annotations

import threading
from typing import Any, Protocol

from fsspec import AbstractFileSystem  # type: ignore[import-untyped]

from dbmon_pipeline.core.source.live_view import LiveView

DATABASE = "live://db"
LOG = f"{DATABASE}.wal"
"""Where DuckDB looks for the log of :data:`DATABASE`."""


class LiveFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """A file system with the database and the log of one view.

    Attributes:
        view: What is read. Exchanged between two readings, since a DuckDB instance takes a file
            system only before it is locked down; a file once opened stays with its view.
    """

    protocol = "live"
    cachable = False

    def __init__(self) -> None:
        """Start with neither file."""
        super().__init__()
        self.view: LiveView | None = None

    def isfile(self, path: str) -> bool:
        """Check for one of the two files."""
        return self.view is not None and (
            path == DATABASE or (path == LOG and self.view.log is not None)
        )

    exists = isfile

    def isdir(self, path: str) -> bool:  # noqa: ARG002 - fsspec's signature
        """Deny that there are directories."""
        return False

    def open(self, path: str, mode: str = "rb", **_: Any) -> _OpenFile:  # noqa: ANN401 - fsspec's
        """Open one of the two files for reading.

        Raises:
            FileNotFoundError: It is another one, or is to be written.
        """
        if self.view is None or mode != "rb" or not self.isfile(path):
            raise FileNotFoundError(path)
        return _OpenLog(self.view) if path == LOG else _OpenDatabase(self.view)

    def size(self, path: str) -> int:
        """Return the size of one of the two files.

        Raises:
            FileNotFoundError: It is another one.
        """
        if self.view is None or not self.isfile(path):
            raise FileNotFoundError(path)
        return len(self.view.log or b"") if path == LOG else self.view.size

    def info(self, path: str, **_: Any) -> dict[str, Any]:  # noqa: ANN401 - fsspec's signature
        """Describe one of the two files, as fsspec does."""
        return {"name": path, "size": self.size(path), "type": "file"}

    def glob(self, path: str, **_: Any) -> list[str]:  # noqa: ANN401 - fsspec's signature
        """List the files of a name, which is no pattern here."""
        return [path] if self.isfile(path) else []


class _OpenFile(Protocol):
    """Part of an open file that DuckDB uses: to read a block it calls ``seek``, then ``read``."""

    def seek(self, position: int, whence: int = 0) -> int: ...

    def read(self, size: int = -1) -> bytes: ...

    def tell(self) -> int: ...

    def close(self) -> None: ...

    def flush(self) -> None: ...


class _OpenDatabase:
    """The open database file, with a position for each thread.

    Another thread may come between a call of ``seek`` and the ``read`` after it, and the checksum
    of a block does not tell from where in the file it is.
    """

    def __init__(self, view: LiveView) -> None:
        self._view = view
        self._of_thread = threading.local()

    def seek(self, position: int, whence: int = 0) -> int:  # noqa: ARG002 - always from the start
        self._of_thread.position = position
        return position

    def read(self, size: int = -1) -> bytes:
        position = self.tell()
        content = self._view.read(position, size if size >= 0 else self._view.size - position)
        self._of_thread.position = position + len(content)
        return content

    def tell(self) -> int:
        return int(getattr(self._of_thread, "position", 0))

    def close(self) -> None:
        """Leave the descriptor to the view."""

    def flush(self) -> None:
        """Do nothing: there is nothing to write."""


class _OpenLog:
    """The open log, with one position.

    DuckDB reads it from beginning to end, though not always on the same thread.
    """

    def __init__(self, view: LiveView) -> None:
        self._log = view.log or b""
        self._position = 0

    def seek(self, position: int, whence: int = 0) -> int:  # noqa: ARG002 - always from the start
        self._position = position
        return position

    def read(self, size: int = -1) -> bytes:
        end = self._position + size if size >= 0 else len(self._log)
        content = self._log[self._position : end]
        self._position += len(content)
        return content

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        """Leave the log to the view."""

    def flush(self) -> None:
        """Do nothing: there is nothing to write."""
