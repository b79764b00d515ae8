"""What processes take together, as ``/proc`` has it: memory as it is shared, and processor time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PAUSE_SECONDS = 0.02
_WORTH_A_LOOK = 1.01
"""PSS costs the kernel more the larger a process is, so it is read at each new height only."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


class PeakMemory:
    """The most memory that a process and its descendants had together, while it is sampled.

    Attributes:
        mb: The sum of their PSS, in which shared pages count once.
    """

    def __init__(self) -> None:
        """Nothing was sampled yet."""
        self.mb = 0.0
        self._highest_rss = 0

    def sample(self, process: int) -> None:
        """Look at a process and its descendants once."""
        numbers = process_tree(process)
        rss = sum(map(_resident_bytes, numbers))
        if rss > self._highest_rss * _WORTH_A_LOOK:
            self._highest_rss = rss
            self.mb = max(self.mb, sum(map(_proportional_bytes, numbers)) / 1e6)

    @contextmanager
    def sampled(self, process: int) -> Iterator[None]:
        """Look again and again, until the block ends."""
        is_over = threading.Event()

        def look() -> None:
            while not is_over.wait(_PAUSE_SECONDS):
                self.sample(process)

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()


def process_tree(process: int) -> list[int]:
    """List a process and its descendants that are alive."""
    numbers = [process]
    for number in numbers:
        for task in _listed(_PROC / str(number) / "task"):
            with suppress(OSError):
                numbers += map(int, (task / "children").read_text("ascii").split())
    return numbers


def cpu_seconds(process: int) -> float:
    """Add up the processor time of a process, its descendants, and those of them that ended.

    A descendant that ended without its parent's waiting for it is lost.
    """
    ticks = 0
    for number in process_tree(process):
        with suppress(OSError):
            stat = (_PROC / str(number) / "stat").read_text("utf-8", "replace")
            ticks += sum(map(int, stat.rpartition(")")[2].split()[11:15]))
    return ticks / _TICKS


def _listed(folder: Path) -> list[Path]:
    try:
        return [*folder.iterdir()]
    except OSError:
        return []


def _resident_bytes(process: int) -> int:
    try:
        statm = (_PROC / str(process) / "statm").read_text("ascii")
    except OSError:
        return 0
    return int(statm.split()[1]) * _PAGE_BYTES


def _proportional_bytes(process: int) -> int:
    try:
        lines = (_PROC / str(process) / "smaps_rollup").read_text("ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
