"""Checks of what is published: readable manifests, and every file that they name."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import duckdb

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.common.errors import NotPublishedError
from dbmon_pipeline.core.common.instants import iso
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.doctor.finding import Outcome, ok, problem, warning
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.home.locks import glance
from dbmon_pipeline.core.schema.manifest import Manifest, read_manifest

_COUNT = "SELECT file_name, num_rows FROM parquet_file_metadata($files)"


def current(settings: Settings) -> Outcome:
    """The generation that readers see."""
    home = settings.home
    if not os.path.lexists(home.current):
        return warning(f"nothing is published in {home.published}", "run dbmon refresh")
    folder = home.generation
    if not folder.is_dir():
        return problem(f"{home.current} points to {folder}, which is not there", _healed(home))
    manifest = read_manifest(folder)
    if faults := _faults({folder: manifest}):
        return problem(_told(faults), f"remove {folder}, then run dbmon refresh, which makes it")
    files = sum(map(len, manifest.tables.values()))
    through = iso(manifest.data_through) if manifest.data_through else "a part of it"
    return ok(
        f"generation {manifest.generation} has {len(manifest.tables)} tables in {files} files,"
        f" each with its rows, and {manifest.executions:,} executions; the source was read"
        f" through {through}"
    )


def others(settings: Settings) -> Outcome | None:
    """Older generations, which readers in mid-flight may still use, and what was left behind."""
    home = settings.home
    if not _folder(home).is_dir():
        return None
    shown = home.generation
    with glance(home.lock) as is_held:
        drafts = sorted([*_folder(home).glob(".draft-*"), *home.published.glob(".current.*")])
    faults, manifests = [], {}
    for folder in sorted(_folder(home).iterdir()):
        if folder.name.isdigit() and folder != shown:
            try:
                manifests[folder] = read_manifest(folder)
            except NotPublishedError as error:
                if folder.exists():
                    faults.append(error.message)
    faults += _faults(manifests)
    if faults:
        return warning(_told(faults), "remove that generation; the published one is another")
    if drafts and not is_held:
        return warning(
            f"{drafts[0]} is left of a publication that was cut off",
            "run dbmon refresh, which removes it",
        )
    under_way = "; the next is being written" if drafts else ""
    return ok(f"older generations, all whole: {len(manifests)}{under_way}")


def _folder(home: Home) -> Path:
    return home.published / "generations"


def _healed(home: Home) -> str:
    return f"remove {home.current}, then run dbmon refresh, which publishes anew"


def _faults(manifests: dict[Path, Manifest]) -> list[str]:
    """What is wrong with the files of generations; one that goes meanwhile is not wrong.

    A file that several of them share is looked at once.
    """
    promised, seen, faults = {}, set(), []
    for folder, manifest in manifests.items():
        for table, files in manifest.tables.items():
            for file in files:
                path = folder / table / file.name
                try:
                    stat = path.stat()
                except FileNotFoundError:
                    faults.append((folder, f"{path} is not there"))
                    continue
                identity = (stat.st_dev, stat.st_ino, file.rows)
                if identity not in seen:
                    seen.add(identity)
                    promised[path] = (folder, file.rows)
    for path, rows in _rows(promised).items():
        folder, expected = promised[path]
        if isinstance(rows, str):
            faults.append((folder, f"{path} cannot be read ({rows})"))
        elif rows != expected:
            faults.append((folder, f"{path} has {rows} rows, not {expected}"))
    return [fault for folder, fault in faults if folder.exists()]


def _rows(paths: Iterable[Path]) -> dict[Path, int | str]:
    """How many rows Parquet files have, by their own account, or why they cannot be read."""
    files = [str(path) for path in paths]
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


def _told(faults: list[str]) -> str:
    more = len(faults) - 1
    return f"{faults[0]}, and {more} more faults" if more else faults[0]
