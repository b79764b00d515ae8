"""Publishing: a whole generation of Parquet files is swapped in at once.

Files are ``YYYY-MM.parquet`` for months that have closed and ``YYYY-MM-DD.parquet`` in the open
one, so the cost follows what changed. A file that did not change is carried over by a hard link.
Readers follow ``published/current`` once and stay in that generation.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from importlib.metadata import version
from pathlib import Path

import duckdb
import msgspec

from dbmon_pipeline.core.common.atomic_files import write_whole
from dbmon_pipeline.core.common.duck import quoted, storage_errors
from dbmon_pipeline.core.common.errors import NotPublishedError
from dbmon_pipeline.core.common.instants import utc_now
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.schema.catalogue import PUBLISHED
from dbmon_pipeline.core.schema.manifest import (
    EMPTY_FILE,
    FILE_NAME,
    WINDOW_FILE,
    Manifest,
    PublishedFile,
    bounds,
    read_manifest,
)
from dbmon_pipeline.core.schema.rollups import Rollup
from dbmon_pipeline.core.schema.table import Table
from dbmon_pipeline.core.warehouse.warehouse import Stage, State, Warehouse

_ROW_GROUP_ROWS = 20_480
"""Rows that a reader skips or reads together; a question about some hours reads few of them."""


@dataclass(frozen=True)
class Publication:
    """What publishing did.

    Attributes:
        manifest: What is published now.
        files_written: How many files were written anew.
        files_carried: How many were carried over unchanged.
        bytes_written: The size of those written, in bytes.
    """

    manifest: Manifest
    files_written: int
    files_carried: int
    bytes_written: int


def publish(warehouse: Warehouse, home: Home, *, keep: int) -> Publication:
    """Publish the summary tables as a new generation.

    Args:
        warehouse: Rolled up, and extracted at least once.
        home: Where to publish.
        keep: How many generations stay, the new one included.

    Raises:
        StorageError: The generation cannot be written; the old one stays published.
    """
    as_of = warehouse.instant(State.AS_OF)
    if as_of is None:
        raise NotPublishedError("the warehouse was never filled", remedy="run dbmon refresh")
    with storage_errors(home.published), _draft(home) as draft:
        before, folder = _current(home)
        writer = _Writer(warehouse, draft, folder, before, as_of)
        done = {name: warehouse.pending(name, Stage.PUBLISH) for name in PUBLISHED}
        tables = {name: writer.table(table, done[name]) for name, table in PUBLISHED.items()}
        manifest = Manifest(
            generation=max([0, *_generations(home)]) + 1,
            as_of=as_of,
            data_through=warehouse.instant(State.DATA_THROUGH),
            published_at=utc_now(),
            executions=warehouse.executions(),
            schema_version=json.loads(warehouse.state(State.OVERVIEW) or "{}").get(
                "schema_version"
            ),
            source=json.loads(warehouse.state(State.SOURCE) or "{}"),
            versions={"dbmon": version("dbmon-pipeline"), "duckdb": duckdb.__version__},
            tables=tables,
        )
        write_whole(
            draft / FILE_NAME, msgspec.json.format(msgspec.json.encode(manifest), indent=1).decode()
        )
        _swap_in(home, draft, manifest.generation)
        with warehouse.transaction():
            for name, days in done.items():
                warehouse.settle(name, days, Stage.PUBLISH)
        remove_old_generations(home, keep=keep)
    return Publication(manifest, writer.files_written, writer.files_carried, writer.bytes_written)


def remove_old_generations(home: Home, *, keep: int) -> int:
    """Remove all but the newest generations, and what an interrupted publication left.

    Returns:
        How many generations were removed.
    """
    old = sorted(_generations(home).items())[:-keep]
    for _, path in old:
        shutil.rmtree(path)
    return len(old)


class _Writer:
    """Writes the tables of one generation."""

    def __init__(
        self,
        warehouse: Warehouse,
        draft: Path,
        before_folder: Path,
        before: Manifest | None,
        as_of: datetime,
    ) -> None:
        self.files_written = self.files_carried = self.bytes_written = 0
        self._con = warehouse.con
        self._draft = draft
        self._before_folder = before_folder
        self._before = before
        self._as_of = as_of

    def table(self, table: Table, changed: set[date]) -> tuple[PublishedFile, ...]:
        """Write the files of a table whose days have changed; carry the others over."""
        (self._draft / table.name).mkdir()
        if isinstance(table, Rollup) and table.window is not None:
            return (self._write(table, WINDOW_FILE, *table.window_at(self._as_of)),)
        days = self._all_days(table) if self._before is None else changed
        periods = {_period(day, self._as_of) for day in days}
        files = []
        for file in self._before.tables.get(table.name, ()) if self._before else ():
            period = Path(file.name).stem
            if period == EMPTY_FILE:
                continue
            now = _period(bounds(period)[0].date(), self._as_of)
            if now == period and now not in periods and self._carry(table, file):
                files.append(file)
            else:
                periods.add(now)
        for period in sorted(periods):
            file = self._write(table, period, *bounds(period))
            if file.rows:
                files.append(file)
            else:
                (self._draft / table.name / file.name).unlink()
        if not files:
            files.append(self._write(table, EMPTY_FILE, datetime.min, datetime.min))
        return tuple(sorted(files, key=lambda file: file.name))

    def _all_days(self, table: Table) -> set[date]:
        rows = self._con.execute(
            f"SELECT DISTINCT CAST({table.time_column} AS DATE) FROM {table.name}"
        ).fetchall()
        return {day for (day,) in rows}

    def _carry(self, table: Table, file: PublishedFile) -> bool:
        """Link a file of the generation before; False if it is not there any more."""
        try:
            (self._draft / table.name / file.name).hardlink_to(
                self._before_folder / table.name / file.name
            )
        except FileNotFoundError:
            return False
        self.files_carried += 1
        return True

    def _write(self, table: Table, period: str, start: datetime, end: datetime) -> PublishedFile:
        path = self._draft / table.name / f"{period}.parquet"
        within = (
            ""
            if table.window
            else (f"WHERE {table.time_column} >= $start AND {table.time_column} < $end")
        )
        (rows,) = self._con.execute(
            f"COPY (SELECT * FROM {table.name} {within} ORDER BY {table.file_order})"
            f" TO {quoted(path)}"
            " (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1,"
            f" ROW_GROUP_SIZE {_ROW_GROUP_ROWS})",
            {"start": start, "end": end} if within else {},
        ).fetchall()[0]
        path.chmod(0o444)
        self.files_written += 1
        self.bytes_written += path.stat().st_size
        return PublishedFile(name=path.name, rows=rows)


def _period(day: date, as_of: datetime) -> str:
    """The file to which a day belongs: its month's once that has closed, else its own."""
    is_open = (day.year, day.month) >= (as_of.year, as_of.month)
    return day.isoformat() if is_open else f"{day:%Y-%m}"


def _generations_folder(home: Home) -> Path:
    return home.published / "generations"


def _generations(home: Home) -> dict[int, Path]:
    folder = _generations_folder(home)
    found = folder.iterdir() if folder.exists() else ()
    return {int(path.name): path for path in found if path.name.isdigit()}


def _current(home: Home) -> tuple[Manifest | None, Path]:
    try:
        return read_manifest(home.generation), home.generation
    except NotPublishedError:
        return None, home.current


@contextmanager
def _draft(home: Home) -> Iterator[Path]:
    """A folder for a new generation; what is left of it, or of an earlier one, is removed."""
    folder = _generations_folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".draft-*"):
        shutil.rmtree(leftover)
    draft = folder / f".draft-{os.getpid()}"
    draft.mkdir()
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _swap_in(home: Home, draft: Path, generation: int) -> None:
    """Name the finished folder and let ``current`` point to it, in one step for readers."""
    final = draft.with_name(f"{generation:06d}")
    _sync_tree(draft)
    draft.rename(final)
    link = home.published / f".current.{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(final.relative_to(home.published))
    link.replace(home.current)
    _sync(home.published)


def _sync_tree(folder: Path) -> None:
    """Have the new files and all folders on disk before the swap; links are there already."""
    for path in folder.rglob("*"):
        if path.is_dir() or path.stat().st_nlink == 1:
            _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
