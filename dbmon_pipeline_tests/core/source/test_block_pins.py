"""Blocks kept between readings: what is read again, and when an answer needed nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dbmon_pipeline.core.source import live_file
from dbmon_pipeline.core.source.block_pins import BLOCK_BYTES, HEADER_BYTES, BlockPins, Fetch
from dbmon_pipeline_tests.core.source.live_trial import owner_of
from dbmon_pipeline_tests.core.source.test_live_file import (
    TOTAL,
    checkpointing,
    make_table,
    opened,
)

BLOCKS = 8


class File:
    """A file of some blocks and a bit more, in memory, that notes what is read of it."""

    def __init__(self) -> None:
        """Fill it."""
        self.content = bytearray(os.urandom(HEADER_BYTES + BLOCKS * BLOCK_BYTES + 1000))
        self.fetched: list[tuple[int, int]] = []

    def fetch(self, position: int, size: int) -> bytes:
        """Read of it."""
        self.fetched.append((position, size))
        return bytes(self.content[position : position + size])

    @contextmanager
    def fetching(self, most_bytes: int) -> Iterator[None]:
        """Check that no more than so much is read in the block."""
        self.fetched.clear()
        yield
        assert sum(size for _, size in self.fetched) == most_bytes


def was_left(pins: BlockPins) -> bool:
    """Whether anything else was asked for; mypy takes an attribute for unchanged."""
    return pins.was_left


def at(block: int) -> int:
    """Where a block begins."""
    return HEADER_BYTES + block * BLOCK_BYTES


def test_ranges_come_from_kept_blocks() -> None:
    """Any range of them, as the file has it."""
    file = File()
    pins = BlockPins(BLOCKS * BLOCK_BYTES)
    pins.read(at(1), 3 * BLOCK_BYTES, file.fetch)
    assert was_left(pins)
    with file.fetching(3 * 64):
        pins.renew(file.fetch)
    with file.fetching(0):
        for position, size in (
            (at(1), BLOCK_BYTES),
            (at(2), 2 * BLOCK_BYTES),
            (at(2) + 7, 100),
            (at(2) - 7, BLOCK_BYTES + 14),
        ):
            kept = pins.read(position, size, file.fetch)
            assert kept == file.content[position : position + size]
    assert not was_left(pins)
    with file.fetching(2 * BLOCK_BYTES):
        assert pins.read(at(0), 2 * BLOCK_BYTES, file.fetch) == file.content[at(0) : at(2)]
    assert was_left(pins)
    assert len(pins) == 4


def test_parts_of_blocks_are_not_kept() -> None:
    """Neither of those that a range cuts nor of the last one of the file."""
    file = File()
    pins = BlockPins(100 * BLOCK_BYTES)
    pins.read(at(0) + 1, 2 * BLOCK_BYTES, file.fetch)
    assert len(pins) == 1
    assert pins.read(at(BLOCKS), BLOCK_BYTES, file.fetch) == file.content[at(BLOCKS) :]
    assert len(pins) == 1
    pins.renew(file.fetch)
    assert pins.read(at(1), BLOCK_BYTES, file.fetch) == file.content[at(1) : at(2)]
    assert not was_left(pins)


def test_changed_blocks_are_read_again() -> None:
    """Those alone; and all of them when there is doubt."""
    file = File()
    pins = BlockPins(BLOCKS * BLOCK_BYTES)
    pins.read(at(0), 3 * BLOCK_BYTES, file.fetch)
    file.content[at(1) : at(1) + 8] = b"checksum"
    file.content[at(2) - 8 : at(2)] = b"contents"
    with file.fetching(3 * 64 + BLOCK_BYTES):
        pins.renew(file.fetch)
    assert [pins.is_fresh, pins.is_doubted] == [False, False]
    assert pins.read(at(0), 3 * BLOCK_BYTES, file.fetch) == file.content[at(0) : at(3)]
    file.content[at(2) + 100] ^= 1  # as if the block had been read while it was written
    pins.renew(file.fetch)
    assert pins.read(at(2), BLOCK_BYTES, file.fetch) != file.content[at(2) : at(3)]
    pins.is_doubted = True
    with file.fetching(3 * BLOCK_BYTES):
        pins.renew(file.fetch)
    assert [pins.is_fresh, pins.is_doubted] == [True, False]
    assert pins.read(at(2), BLOCK_BYTES, file.fetch) == file.content[at(2) : at(3)]


def test_room_is_kept_for_blocks_that_are_asked_for() -> None:
    """What a query did not ask for is forgotten, and what does not fit is not kept."""
    file = File()
    pins = BlockPins(3 * BLOCK_BYTES + 5)
    pins.read(at(0), 4 * BLOCK_BYTES, file.fetch)
    assert len(pins) == 3
    pins.renew(file.fetch)
    pins.read(at(1), BLOCK_BYTES, file.fetch)
    pins.forget_untouched()
    assert len(pins) == 1
    del file.content[at(1) :]
    pins.renew(file.fetch)
    assert len(pins) == 0


def test_a_block_kept_in_the_middle_of_its_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of its checksum does not count; all blocks are read again, and the answer does."""
    doubts = []

    class TornPins(BlockPins):
        """Blocks with the beginning that the file has and another middle, unless all is doubted."""

        def renew(self, fetch: Fetch) -> None:
            doubts.append(self.is_doubted)
            super().renew(fetch)

        def _keep(self, position: int, content: bytes) -> None:
            torn = bytearray(content)
            for start in range(0, len(torn), BLOCK_BYTES):
                torn[start + 100] ^= 1
            super()._keep(position, bytes(torn))

    monkeypatch.setattr(live_file, "BlockPins", TornPins)
    path = tmp_path / "learning.db"
    with owner_of(path) as owner, opened(path) as file:
        make_table(owner)
        assert file.read(checkpointing(owner), seconds=3) > TOTAL
    assert any(doubts)
