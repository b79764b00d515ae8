"""Database blocks kept in memory between two readings of a file that changes all the while.

A query over a large file takes longer than some owners leave between two checkpoints. Most of the
blocks that it reads stay the same, though. Kept blocks that are compared with the file again, by
the checksum that each begins with, answer the next attempt without any further look at the file.
"""

from __future__ import annotations

from collections.abc import Callable

HEADER_BYTES = 3 * 4096
"""The main header and the two database headers, before the first block."""
BLOCK_BYTES = 262_144
"""The size of a block unless its database was created with another one."""
_TELLING_BYTES = 64
"""A block begins with its checksum; an encrypted one with nonce, tag and checksum."""
_ALLOCATION_SIZE = slice(40, 48)
_ITERATION = slice(8, 16)

Fetch = Callable[[int, int], bytes]
"""Reads so many bytes of the file from a position: ``fetch(position, size)``."""


def have_default_blocks(headers: bytes) -> bool:
    """Check the block size in the newest database header."""
    pages = headers[4096:8192], headers[8192:HEADER_BYTES]
    newest = max(pages, key=lambda page: int.from_bytes(page[_ITERATION], "little"))
    return int.from_bytes(newest[_ALLOCATION_SIZE], "little") == BLOCK_BYTES


class BlockPins:
    """Blocks of a database file, by number.

    Attributes:
        was_left: Whether anything outside of the kept blocks was asked for since :meth:`renew`.
        is_fresh: Whether :meth:`renew` read every kept block from beginning to end.
        is_doubted: Whether the next :meth:`renew` shall do so.
    """

    def __init__(self, most_bytes: int) -> None:
        """Start without blocks.

        Args:
            most_bytes: How much memory the blocks may take.
        """
        self.was_left = False
        self.is_fresh = True
        self.is_doubted = False
        self._most_blocks = most_bytes // BLOCK_BYTES
        self._blocks: dict[int, bytes] = {}
        self._touched: set[int] = set()

    def __len__(self) -> int:
        """Count the kept blocks."""
        return len(self._blocks)

    def renew(self, fetch: Fetch) -> None:
        """Make every kept block equal to the file's again.

        Only the beginning of each block is compared. A block read while its owner wrote it may have
        the right beginning and a wrong end; DuckDB then finds that its checksum does not match, and
        the caller sets :attr:`is_doubted`.
        """
        fresh = 0
        for block, kept in list(self._blocks.items()):
            start = HEADER_BYTES + block * BLOCK_BYTES
            if not self.is_doubted and fetch(start, _TELLING_BYTES) == kept[:_TELLING_BYTES]:
                continue
            content = fetch(start, BLOCK_BYTES)
            if len(content) == BLOCK_BYTES:
                self._blocks[block] = content
                fresh += 1
            else:
                del self._blocks[block]
        self.is_fresh = fresh == len(self._blocks)
        self.is_doubted = self.was_left = False
        self._touched.clear()

    def read(self, position: int, size: int, fetch: Fetch) -> bytes:
        """Return a range from the kept blocks, or from the file and keep its blocks.

        Called from several threads at once.
        """
        start = position - HEADER_BYTES
        blocks = range(start // BLOCK_BYTES, -(-(start + size) // BLOCK_BYTES))
        self._touched.update(blocks)
        try:
            kept = [self._blocks[block] for block in blocks]
        except KeyError:
            self.was_left = True
            content = fetch(position, size)
            self._keep(position, content)
            return content
        skipped = start - blocks.start * BLOCK_BYTES
        if len(kept) == 1:
            return kept[0] if size == BLOCK_BYTES else kept[0][skipped : skipped + size]
        return b"".join(kept)[skipped : skipped + size]

    def forget_untouched(self) -> None:
        """Drop the blocks that were not asked for since :meth:`renew`."""
        for block in self._blocks.keys() - self._touched:
            del self._blocks[block]

    def _keep(self, position: int, content: bytes) -> None:
        """Keep the whole blocks of a range, as long as there is room."""
        skipped = -(position - HEADER_BYTES) % BLOCK_BYTES
        for at in range(skipped, len(content) - BLOCK_BYTES + 1, BLOCK_BYTES):
            if len(self._blocks) >= self._most_blocks:
                return
            block = (position + at - HEADER_BYTES) // BLOCK_BYTES
            self._blocks[block] = content[at : at + BLOCK_BYTES]
