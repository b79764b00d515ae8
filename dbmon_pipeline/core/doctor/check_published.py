"""Checks of the published data: readable manifests, and every file that they name."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import duckdb

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.common.errors import NotPublishedError
from dbmon_pipeline.core.common.instants import iso
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.doctor.finding import Outcome, ok, problem, warning
from dbmon_pipeline.core.generation.generation import Generation
from dbmon_pipeline.core.home.locks import glance
from dbmon_pipeline.core.schema.manifest import read_manifest

_COUNT = "SELECT file_name, num_rows FROM parquet_file_metadata($files)"
_MOST_NAMED = 3
"""The number of items that are named; the path of each may be long."""


class Fault(NamedTuple):
    """Fault of a file of a generation.

    Attributes:
        path: The file.
        seen: What is wrong.
        is_seen_by_refresh: Whether a refresh sees it, too, and makes the file's days again.
    """

    path: Path
    seen: str
    is_seen_by_refresh: bool


def current_generation(settings: Settings) -> Outcome:
    """Look at the generation that readers see: each file is there, whole, and has its rows."""
    home = settings.home
    if not os.path.lexists(home.current):
        return warning(f"nothing is published in {home.published}", "run dbmon refresh")
    folder = home.generation
    if not folder.is_dir():
        return problem(
            f"{home.current} points to {folder}, which is not there",
            "run dbmon refresh, which publishes anew",
        )
    manifest = read_manifest(folder)
    if faults := _faults([Generation(folder, manifest)]):
        unseen = [fault.path for fault in faults if not fault.is_seen_by_refresh]
        first = f"remove {', '.join(map(str, unseen))}, then " if unseen else ""
        return problem(
            _name_faults(faults),
            f"{first}run dbmon refresh, which makes their days again from the source and names what"
            " it no longer holds",
        )
    files = sum(map(len, manifest.tables.values()))
    return ok(
        f"generation {manifest.generation} has {len(manifest.tables)} tables in {files} files,"
        f" each whole and with its rows, and {manifest.executions:,} executions; the source was"
        f" read through {iso(manifest.data_through)}"
    )


def bad_values(settings: Settings) -> Outcome | None:
    """Name values of the source that could not be read, as far as they were noted."""
    try:
        noted = read_manifest(settings.home.generation).bad_values
    except NotPublishedError:
        return None
    if not noted:
        return None
    shown = "; ".join(
        f"{value.value!r} in {value.column} of task {value.task_id}"
        for value in noted[:_MOST_NAMED]
    )
    more = f"; and {len(noted) - _MOST_NAMED} more" if len(noted) > _MOST_NAMED else ""
    return warning(
        f"values of the source that cannot be read: {shown}{more}",
        "correct them in the source; what else stands in their rows is monitored",
    )


def older_generations(settings: Settings) -> Outcome | None:
    """Look at older generations, which readers may still use, and at leftovers."""
    home = settings.home
    if not home.generations.is_dir():
        return None
    shown = home.generation
    with glance(home.lock) as is_held:
        drafts = sorted([*home.generations.glob(".draft-*"), *home.published.glob(".current.*")])
    unreadable, generations = [], []
    for folder in sorted(home.generations.iterdir()):
        if folder.name.isdigit() and folder != shown:
            try:
                generations.append(Generation(folder, read_manifest(folder)))
            except NotPublishedError as error:
                if folder.exists():
                    unreadable.append(Fault(folder, error.message, is_seen_by_refresh=False))
    if faults := [*unreadable, *_faults(generations)]:
        return warning(_name_faults(faults), "remove that generation; the published one is another")
    if drafts and not is_held:
        return warning(
            f"{drafts[0]} is left of a publication that was cut off",
            "run dbmon refresh, which removes it",
        )
    under_way = "; the next is being written" if drafts else ""
    return ok(f"older generations, all whole: {len(generations)}{under_way}")


def _faults(generations: Iterable[Generation]) -> list[Fault]:
    """List the faults in the files of generations; one that goes meanwhile is not wrong.

    The footer of a file that several of them share is read once.
    """
    footers: dict[tuple[int, int, int], Path] = {}
    faults = []
    for generation in generations:
        for table, files in generation.manifest.tables.items():
            for file in files:
                path = generation.path(table, file)
                if not generation.is_whole(table, file):
                    state = "is damaged" if path.exists() else "is not there"
                    faults.append(Fault(path, f"{path} {state}", is_seen_by_refresh=True))
                    continue
                stat = path.stat()
                footers.setdefault((stat.st_dev, stat.st_ino, file.rows), path)
    counted = _rows(footers.values())
    for (*_, expected), path in footers.items():
        rows = counted[path]
        if rows != expected:
            is_read = isinstance(rows, int)
            seen = f"has {rows:,} rows, not {expected:,}" if is_read else f"cannot be read ({rows})"
            faults.append(Fault(path, f"{path} {seen}", is_seen_by_refresh=False))
    return [fault for fault in faults if fault.path.parent.parent.exists()]


def _rows(paths: Iterable[Path]) -> dict[Path, int | str]:
    """Read how many rows Parquet files have by their footers, or why they cannot be read."""
    files = [str(path) for path in paths]
    if not files:
        return {}
    with connect() as con:
        try:
            return {Path(name): n for name, n in con.execute(_COUNT, {"files": files}).fetchall()}
        except duckdb.Error:  # one of them is damaged
            return {Path(file): _rows_of(con, file) for file in files}


def _rows_of(con: duckdb.DuckDBPyConnection, file: str) -> int | str:
    try:
        return int(con.execute(_COUNT, {"files": [file]}).fetchall()[0][1])
    except duckdb.Error as error:
        return str(error).splitlines()[0]


def _name_faults(faults: list[Fault]) -> str:
    """Name the faults; no more files than fit on a line."""
    shown = "; ".join(fault.seen for fault in faults[:_MOST_NAMED])
    more = len(faults) - _MOST_NAMED
    return f"{shown}; and {more} more faults" if more > 0 else shown
