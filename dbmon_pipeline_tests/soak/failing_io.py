"""File operations that fail: a library preloaded into a process, and what tells it which one.

It counts the operations below the home that write, over a refresh and its reader process together.
"""

from __future__ import annotations

import mmap
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

_STATE = struct.Struct("=qqqq1024s1024s")
"""As ``struct state`` in ``failing_io.c``."""
_SOURCE = Path(__file__).with_suffix(".c")


@dataclass(frozen=True)
class Operations:
    """File operations that were counted.

    Attributes:
        count: How many there were.
        linked_at: The number of the one that made a link, by which a generation is published.
        failed: The one that failed, with its path; empty if none did.
    """

    count: int
    linked_at: int
    failed: str


class FailingIo:
    """The preloaded library and its state, shared by all processes that have it.

    Attributes:
        environ: What the environment of such a process must have.
    """

    def __init__(self, folder: Path) -> None:
        """Compile the library into a folder; nothing is counted yet."""
        library, state = folder / "failing_io.so", folder / "failing_io.state"
        compiler = ("gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror")
        subprocess.run([*compiler, "-o", library, _SOURCE, "-ldl"], check=True)
        state.write_bytes(bytes(_STATE.size))
        self.environ = {"LD_PRELOAD": str(library), "FAILING_IO_STATE": str(state)}
        with state.open("r+b") as file:
            self._state = mmap.mmap(file.fileno(), 0)

    def count_below(self, folder: Path, *, fail_at: int = 0, error: int = 0) -> None:
        """Count anew the operations below a folder.

        Args:
            folder: The folder.
            fail_at: The number of the operation that fails, from 1; 0 for none.
            error: The errno that it fails with.
        """
        path = str(folder.resolve()).encode()
        _STATE.pack_into(self._state, 0, 0, fail_at, error, 0, path, b"")

    def stop(self) -> Operations:
        """Count no more; get what was counted."""
        count, _, _, linked_at, _, failed = _STATE.unpack_from(self._state)
        _STATE.pack_into(self._state, 0, 0, 0, 0, 0, b"", b"")
        return Operations(count, linked_at, failed.rstrip(b"\0").decode())
