"""A pinned view of a DuckDB file that its owner may be writing, and the guard over it.

The file is opened for reading, without a lock, so that the owner can neither be hindered nor notice
it. DuckDB never overwrites a block that the newest database header on disk refers to. So whatever
was read is of one state if, after the reading, the headers are the same bytes, the file and its
write-ahead log are still the same files, the log was only appended to, and no checkpoint is under
way. DuckDB 1.5 with several writing connections breaks that promise while a checkpoint finishes;
a strict view therefore also wants the file not to be written at all.

Closing any descriptor of a file ends all fcntl locks that the process holds on it. A process that
owns the database would lose its lock by a view, so a view of it is refused.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path

from dbmon_pipeline.core.common.duck import log_path
from dbmon_pipeline.core.common.errors import SourceError
from dbmon_pipeline.core.source.block_pins import HEADER_BYTES, BlockPins, have_default_blocks

_CLOCK_STEP_NS = 12_000_000
"""The clock behind a file's mtime moves in steps of up to 10 ms."""
_COARSE_CLOCK_STEP_NS = 2_100_000_000
"""On a file system that stores seconds, or two of them."""
_CRASHED_NS = 30_000_000_000
"""A checkpoint that was begun and wrote nothing for so long ended with its process. The headers and
the logs make up the state then."""
_COMPARED_BYTES = 1 << 20
_TAIL_BYTES = 256
_ENTRY_HEAD_BYTES = 16
_SHORTEST_ENTRY_BYTES = 6
_LONGEST_MARK_BYTES = 64
_COMMIT_ENTRY = bytes.fromhex("0500000000000000e7fe7d722fed3d5e640064ffff")
"""The log entry that ends a commit: size, checksum, content; always the same."""
_MARK_CONTENT = b"\x64\x00\x63"
"""Beginning of a CHECKPOINT entry's content: field 100, type 99."""

_registry_lock = threading.Lock()
_descriptors_of_views: set[int] = set()


LOG = ".wal"
CHECKPOINT_LOG = ".wal.checkpoint"
"""The log that an owner writes to while a checkpoint is under way; DuckDB reads it after the first
one if its owner died in that checkpoint."""


class ReadingThrownAwayError(Exception):
    """The owner wrote during a reading, so that neither its answer nor its error counts."""


class LiveView(AbstractContextManager["LiveView"]):
    """View of one state of a database file and its log, with both held open.

    Attributes:
        logs: The content of each log that there is, by its suffix.
        size: The size of the database file, read after the logs.
        pins: Blocks kept from an earlier view; None if the file's blocks cannot be kept.
        bytes_read: How much was read from all of them.
    """

    def __init__(self, path: Path, *, is_strict: bool, pins: BlockPins | None = None) -> None:
        """Pin the present state.

        Args:
            path: The database file, or a link to it.
            is_strict: Whether the file must not be written to at all.
            pins: Blocks kept from an earlier view, compared with this one's and added to.

        Raises:
            ReadingThrownAwayError: The owner is writing this state.
            SourceError: This process has the file open other than through a view.
            OSError: The file cannot be opened.
        """
        self._path = Path(os.path.realpath(path))
        self._is_strict = is_strict
        self._descriptors: list[int] = []
        self._database = -1
        self.logs: dict[str, bytes] = {}
        self._log_descriptors: dict[str, int] = {}
        self._count_lock = threading.Lock()
        self.bytes_read = 0
        if _is_open_otherwise(self._path.stat()):
            raise SourceError(
                f"{path} is open in this process",
                remedy="read it over that connection, or in another process",
            )
        try:
            self._pin()
            self.pins = pins if have_default_blocks(self._headers) else None
            if self.pins is not None:
                self.pins.renew(self._fetch)
                self.check()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def read(self, position: int, size: int) -> bytes:
        """Read from the database file; shorter where it ends."""
        if position >= HEADER_BYTES:
            return self._read_blocks(position, size)
        head = self._headers[position : position + size]
        if position + size <= HEADER_BYTES or len(self._headers) < HEADER_BYTES:
            return head
        return head + self._read_blocks(HEADER_BYTES, size - len(head))

    def settle(self, *, has_failed: bool) -> None:
        """Decide whether what was read since the view was pinned, or how it failed, counts.

        Raises:
            ReadingThrownAwayError: It does not.
        """
        pins = self.pins
        if pins is not None:
            if not has_failed:
                pins.forget_untouched()
            if not pins.was_left:
                if has_failed and not pins.is_fresh:
                    pins.is_doubted = True
                    raise ReadingThrownAwayError("it failed on blocks kept from earlier readings")
                return
        self.check()

    def check(self) -> None:
        """Check that the pinned state is still the one on disk.

        Raises:
            ReadingThrownAwayError: It is not, or a checkpoint is under way.
        """
        if self._fetch(0, HEADER_BYTES) != self._headers:
            raise ReadingThrownAwayError("a checkpoint was finished")
        try:
            if not os.path.samestat(self._path.stat(), self._stat):
                raise ReadingThrownAwayError("the file was replaced")
            self._check_logs()
        except FileNotFoundError as error:
            raise ReadingThrownAwayError(f"{error.filename} is gone") from None
        now = os.fstat(self._database)
        if self._is_strict and _written(now) != _written(self._stat):
            raise ReadingThrownAwayError("blocks were written")

    def close(self) -> None:
        """Close the files.

        If this process has opened the database meanwhile the descriptors are left open for good,
        so that it keeps its lock.
        """
        if self._descriptors and _is_open_otherwise(os.fstat(self._descriptors[0])):
            return
        self._database = -1  # the number may soon be another file's
        with _registry_lock:
            while self._descriptors:
                descriptor = self._descriptors.pop()
                _descriptors_of_views.discard(descriptor)
                os.close(descriptor)

    def _pin(self) -> None:
        self._database = self._open(self._path)
        self._stat = os.fstat(self._database)
        if self._is_strict and _age_ns(self._stat) < _clock_step_ns(self._stat):
            raise ReadingThrownAwayError("it is being written")
        self._headers = self._fetch(0, HEADER_BYTES)
        for suffix in (LOG, CHECKPOINT_LOG):
            descriptor = self._open_log(suffix)
            if descriptor is not None:
                self.logs[suffix] = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
                self._count(len(self.logs[suffix]))
        self.size = os.fstat(self._database).st_size
        self.check()

    def _open(self, path: Path) -> int:
        # A named pipe opened without O_NONBLOCK waits for a process that writes to it.
        with _registry_lock:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            _descriptors_of_views.add(descriptor)
        self._descriptors.append(descriptor)
        return descriptor

    def _open_log(self, suffix: str) -> int | None:
        """Open a log, unless it is open or there is none."""
        if suffix not in self._log_descriptors:
            try:
                self._log_descriptors[suffix] = self._open(log_path(self._path, suffix))
            except FileNotFoundError:
                return None
        return self._log_descriptors[suffix]

    def _check_logs(self) -> None:
        is_in_checkpoint = False
        ages = [_age_ns(os.fstat(self._database))]
        for suffix in (LOG, CHECKPOINT_LOG):
            # A log begun since does no harm but may announce a checkpoint.
            descriptor = self._open_log(suffix)
            if descriptor is None:
                continue
            stat = os.fstat(descriptor)
            if not os.path.samestat(log_path(self._path, suffix).stat(), stat):
                raise ReadingThrownAwayError("the log was replaced")
            self._check_pinned(suffix, descriptor)
            ages.append(_age_ns(stat))
            tail = os.pread(descriptor, _TAIL_BYTES, max(0, stat.st_size - _TAIL_BYTES))
            is_in_checkpoint |= suffix == CHECKPOINT_LOG or _ends_in_checkpoint_mark(tail)
        if is_in_checkpoint:
            is_new = CHECKPOINT_LOG in self._log_descriptors.keys() - self.logs.keys()
            if is_new or min(ages) < _CRASHED_NS:
                raise ReadingThrownAwayError("a checkpoint is under way")
            self._is_strict = True  # should it go on after all

    def _check_pinned(self, suffix: str, descriptor: int) -> None:
        pinned = memoryview(self.logs.get(suffix, b""))
        for at in range(0, len(pinned), _COMPARED_BYTES):
            part = pinned[at : at + _COMPARED_BYTES]
            if os.pread(descriptor, len(part), at) != part:
                raise ReadingThrownAwayError("the log was rewritten")

    def _read_blocks(self, position: int, size: int) -> bytes:
        if self.pins is None:
            return self._fetch(position, size)
        return self.pins.read(position, size, self._fetch)

    def _fetch(self, position: int, size: int) -> bytes:
        content = os.pread(self._database, size, position)
        self._count(len(content))
        return content

    def _count(self, read: int) -> None:
        with self._count_lock:
            self.bytes_read += read


def _is_open_otherwise(stat: os.stat_result) -> bool:
    """Check whether this process has a file open other than through a view, without opening it."""
    with _registry_lock:
        for entry in Path("/proc/self/fd").iterdir():
            if int(entry.name) in _descriptors_of_views:
                continue
            try:
                if os.path.samestat(entry.stat(), stat):
                    return True
            except OSError:  # closed meanwhile, as is the descriptor of this listing
                continue
    return False


def _ends_in_checkpoint_mark(tail: bytes) -> bool:
    """Check whether the last log entry is a CHECKPOINT, leaving the end of its commit aside.

    Nothing can be seen of an encrypted log.
    """
    tail = tail.removesuffix(_COMMIT_ENTRY)
    for size in range(_SHORTEST_ENTRY_BYTES, _LONGEST_MARK_BYTES):
        at = len(tail) - size - _ENTRY_HEAD_BYTES
        if at < 0:
            break
        if tail[at : at + 8] == size.to_bytes(8, "little"):
            content = tail[at + _ENTRY_HEAD_BYTES :]
            if content.startswith(_MARK_CONTENT):
                return True
    return False


def _written(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_mtime_ns, stat.st_size


def _age_ns(stat: os.stat_result) -> int:
    return time.time_ns() - stat.st_mtime_ns


def _clock_step_ns(stat: os.stat_result) -> int:
    return _CLOCK_STEP_NS if stat.st_mtime_ns % 1_000_000 else _COARSE_CLOCK_STEP_NS
