"""The manifest: what a published generation is, in one JSON file beside its tables."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from dbmon_pipeline.core.errors import NotPublishedError

FILE_NAME = "manifest.json"
FORMAT_VERSION = 1


class PublishedFile(BaseModel):
    """One Parquet file of a table.

    Attributes:
        name: Its name in the table's folder.
        rows: How many rows it has.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    rows: int


class Manifest(BaseModel):
    """What a generation holds and speaks for.

    Attributes:
        format_version: The version of this layout.
        generation: Its number; a later generation has a larger one.
        as_of: The instant the figures speak for, naive UTC.
        data_through: The instant up to which the source had been read, naive UTC; None before the
            first whole read.
        published_at: When it was published, naive UTC.
        source: What identifies the source: path, inode and size.
        versions: The versions of dbmon and duckdb that wrote it.
        tables: The files of each table.
    """

    model_config = ConfigDict(frozen=True)

    format_version: int = FORMAT_VERSION
    generation: int
    as_of: datetime
    data_through: datetime | None
    published_at: datetime
    source: dict[str, object]
    versions: dict[str, str]
    tables: dict[str, tuple[PublishedFile, ...]]

    def rows(self, table: str) -> int:
        """How many rows a table has."""
        return sum(file.rows for file in self.tables[table])


def read_manifest(generation: Path) -> Manifest:
    """Read the manifest of a generation.

    Raises:
        NotPublishedError: There is none, or it cannot be understood.
    """
    path = generation / FILE_NAME
    try:
        return Manifest.model_validate(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        raise NotPublishedError(
            f"nothing is published in {generation.parent}", remedy="run dbmon refresh first"
        ) from None
    except (OSError, ValueError, ValidationError) as error:
        raise NotPublishedError(
            f"{path} cannot be understood ({error})",
            remedy="remove that generation and run dbmon refresh",
        ) from None
