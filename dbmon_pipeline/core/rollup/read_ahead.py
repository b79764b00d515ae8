"""Reading ahead: while a chunk is rolled up, the next one is read.

A chunk of which no reading holds, since the source is written all the time, is read in smaller
ones.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime

import duckdb

from dbmon_pipeline.core.common.errors import SourceChangingError
from dbmon_pipeline.core.rollup.chunks import Chunk, ChunkSize, cut_into_chunks
from dbmon_pipeline.core.rollup.read_rows import (
    INCOMING,
    LONGEST_SECONDS,
    ROWS,
    ReadChunk,
    read_chunk,
)
from dbmon_pipeline.core.rollup.reconcile import differences_from_source
from dbmon_pipeline.core.schema.manifest import Difference
from dbmon_pipeline.core.source.contract import SourceSchema
from dbmon_pipeline.core.source.kinds import Source
from dbmon_pipeline.core.source.redaction import Redactor

_FIRST_SECONDS = 6.0
"""For how long a large chunk is tried before it is read in smaller ones."""
_SMALLER = 8
"""Into how many parts, about."""
_SMALL_ROWS = 40_000
"""Chunks that are not made smaller."""


@dataclass(frozen=True)
class IncomingChunk:
    """A chunk whose rows have been read and compared with the source's control sums."""

    chunk: Chunk
    read: ReadChunk
    differences: list[Difference]


class ReadAhead:
    """Reads the days of a refresh chunk by chunk, one ahead of the chunk that is worked on."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        source: Source,
        schema: SourceSchema,
        as_of: datetime,
        redactor: Redactor,
    ) -> None:
        """Read nothing yet.

        Args:
            con: The instance that the source is read with.
            source: The source.
            schema: Its columns when it was looked over.
            as_of: Rows at or after it are not read.
            redactor: What free texts lose.
        """
        self._con = con
        self._cursor = con.cursor()
        self._source = source
        self._schema = schema
        self._as_of = as_of
        self._redactor = redactor

    def chunks(
        self, days: Mapping[date, Mapping[datetime, int]], *, over_gaps: bool
    ) -> Generator[IncomingChunk]:
        """Read days; the rows of the chunk that was yielded last are in ``executions``.

        Args:
            days: The days in ascending order, with the rows of each of their hours.
            over_gaps: As for :func:`cut_into_chunks`.

        Raises:
            SourceError: The source cannot be read.
        """
        reading = self._read(days, ChunkSize(), over_gaps=over_gaps, is_last_try=False)
        with ThreadPoolExecutor(1) as thread:
            coming = thread.submit(next, reading, None)
            while (incoming := coming.result()) is not None:
                self._con.execute(f"DROP TABLE {ROWS}; ALTER TABLE {INCOMING} RENAME TO {ROWS}")
                coming = thread.submit(next, reading, None)
                yield incoming

    def _read(
        self,
        days: Mapping[date, Mapping[datetime, int]],
        size: ChunkSize,
        *,
        over_gaps: bool,
        is_last_try: bool,
    ) -> Iterator[IncomingChunk]:
        for chunk in cut_into_chunks(days, size, over_gaps=over_gaps):
            is_last = is_last_try or chunk.is_part_of_day or chunk.rows <= _SMALL_ROWS
            try:
                incoming = self._read_chunk(chunk, LONGEST_SECONDS if is_last else _FIRST_SECONDS)
            except SourceChangingError:
                if is_last:
                    raise
                smaller = ChunkSize(most_rows=chunk.rows // _SMALLER)
                its_days = {day: days[day] for day in chunk.days}
                yield from self._read(its_days, smaller, over_gaps=over_gaps, is_last_try=True)
            else:
                size.learn(incoming.read.rows, incoming.read.text_bytes)
                yield incoming

    def _read_chunk(self, chunk: Chunk, seconds: float) -> IncomingChunk:
        read = read_chunk(
            self._cursor,
            self._source,
            self._schema,
            chunk,
            self._as_of,
            self._redactor,
            seconds=seconds,
        )
        return IncomingChunk(chunk, read, differences_from_source(self._cursor))
