"""A generation: the folder of one consistent set of published tables, and SQL that reads it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from glob import escape
from pathlib import Path

from dbmon_pipeline.core.common.duck import quoted
from dbmon_pipeline.core.schema.manifest import Manifest, PublishedFile

_MAGIC = b"PAR1"


@dataclass(frozen=True)
class Generation:
    """Generation: its folder and its manifest.

    Attributes:
        folder: Where it lies.
        manifest: What it holds.
    """

    folder: Path
    manifest: Manifest

    def files(self, table: str) -> tuple[PublishedFile, ...]:
        """List the files of a table; none if this generation does not have it."""
        return self.manifest.tables.get(table, ())

    def path(self, table: str, file: PublishedFile) -> Path:
        """Tell where a file lies."""
        return self.folder / table / file.name

    def relation(self, table: str, wanted: Callable[[PublishedFile], bool]) -> str | None:
        """Write SQL that reads some files of a table.

        Args:
            table: The table.
            wanted: Whether a file is read.

        Returns:
            A relation for a FROM clause; None if there is no such file.
        """
        paths = [self.path(table, file) for file in self.files(table) if wanted(file)]
        return read_parquet(paths) if paths else None

    def between(self, table: str, start: datetime, end: datetime) -> str | None:
        """Write SQL that reads the files of a table that may hold rows of ``[start, end)``."""
        return self.relation(table, lambda file: file.overlaps(start, end))

    def is_whole(self, table: str, file: PublishedFile) -> bool:
        """Tell whether a file is there, and begins and ends as a Parquet file of its size does."""
        try:
            descriptor = os.open(self.path(table, file), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            size = os.fstat(descriptor).st_size
            ends = (0, max(size - len(_MAGIC), 0))
            return size == file.bytes and all(
                os.pread(descriptor, len(_MAGIC), at) == _MAGIC for at in ends
            )
        except OSError:
            return False
        finally:
            os.close(descriptor)


def read_parquet(paths: list[Path]) -> str:
    """Write a relation that reads Parquet files, each by its very name."""
    return f"read_parquet([{', '.join(quoted(escape(str(path))) for path in paths)}])"
