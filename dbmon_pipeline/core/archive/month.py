"""File of one month: written in parts, read back, and given its name only if it is right."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb

from dbmon_pipeline.core.archive.archive_sql import AllColumns
from dbmon_pipeline.core.archive.result import ArchivedFile
from dbmon_pipeline.core.common.atomic_files import sync
from dbmon_pipeline.core.common.duck import quoted, storage_errors
from dbmon_pipeline.core.common.errors import ArchiveError, StorageError
from dbmon_pipeline.core.common.instants import hour_floor
from dbmon_pipeline.core.generation.generation import read_parquet

_OPTIONS = "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE_BYTES '64MB'"


class Sums(NamedTuple):
    """Figures in which two copies of the same rows agree."""

    rows: int
    hashes: int

    def plus(self, other: Sums) -> Sums:
        """Add the figures of other rows."""
        return Sums(self.rows + other.rows, self.hashes + other.hashes)


def month_of(instant: datetime) -> datetime:
    """Tell when the month of an instant begins."""
    return hour_floor(instant).replace(day=1, hour=0)


def month_end(month: datetime) -> datetime:
    """Tell when the next month begins."""
    return month_of(month + timedelta(days=31))


class MonthFile:
    """File of a month, and its draft.

    Attributes:
        path: Where it belongs.
        is_there: Whether something is there already.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        columns: AllColumns,
        path: Path,
        workshop: Path,
    ) -> None:
        """Check whether the file is there already.

        Args:
            con: The instance that reads and writes it.
            columns: The columns of the source.
            path: Where it belongs.
            workshop: A folder on the same disk, for what must not stay.
        """
        self.path = path
        self.is_there = os.path.lexists(path)
        self._con = con
        self._columns = columns
        self._draft = workshop / path.name
        self._parts: list[Path] = []

    def add_part(self, relation: str) -> None:
        """Write a part of its rows.

        Raises:
            StorageError: It cannot be written.
        """
        part = self._draft.with_suffix(f".{len(self._parts)}")
        with storage_errors(self.path):
            self._con.execute(
                f"COPY (SELECT {self._columns.as_written} FROM {relation})"
                f" TO {quoted(part)} (FORMAT parquet)"
            )
        self._parts.append(part)

    def assemble(self, expected: Sums) -> None:
        """Make one draft of the parts, and read it back.

        Args:
            expected: The sums of the rows as the source holds them.

        Raises:
            StorageError: It cannot be written, or does not hold these rows.
        """
        with storage_errors(self.path):
            self._con.execute(
                f"COPY (FROM {_rows(*self._parts)}) TO {quoted(self._draft)} ({_OPTIONS})"
            )
            sync(self._draft)
            for part in self._parts:
                part.unlink()
            found = self._sums(self._draft)
        if found != expected:
            raise StorageError(
                f"{self.path.name} does not hold what was written: {found} instead of {expected}",
                remedy="check the disk and repeat; keep the rows in the source",
            )

    def check(self, expected: Sums) -> None:
        """Check that the file that is there holds the rows of the source.

        Raises:
            ArchiveError: It has other rows or columns, or is no Parquet file.
        """
        try:
            described = self._con.execute(f"FROM {_rows(self.path)} LIMIT 0").description or ()
            if [column[0] for column in described] == list(self._columns.types):  # noqa: SIM102
                if self._sums(self.path) == expected:
                    return
        except duckdb.Error:
            pass
        raise ArchiveError(
            f"{self.path} exists and does not hold the same rows as the source",
            remedy="move it away, or name another folder with --out; no file is overwritten",
        )

    def give_name(self) -> None:
        """Move the draft to its final path.

        Raises:
            StorageError: It cannot be moved there.
        """
        with storage_errors(self.path):
            self._draft.rename(self.path)
            sync(self.path.parent)

    def describe(self, rows: int) -> ArchivedFile:
        """Tell what the file is, whether it was there or was written now."""
        with storage_errors(self.path):
            size = self.path.stat().st_size
        return ArchivedFile(
            name=self.path.name, rows=rows, size_bytes=size, is_new=not self.is_there
        )

    def _sums(self, path: Path) -> Sums:
        return Sums(
            *self._con.execute(
                f"SELECT count(*), coalesce(sum({self._columns.row_hash_of_file}), 0)"
                f" FROM {_rows(path)}"
            ).fetchall()[0]
        )


def _rows(*paths: Path) -> str:
    """Write SQL that reads files; a name like ``repo=x`` of a folder is no column."""
    return read_parquet(list(paths)).removesuffix(")") + ", hive_partitioning = false)"
