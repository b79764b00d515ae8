"""The files of a backup: the list of them, and the checks that they are what was backed up."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import duckdb
import msgspec
from msgspec import Meta

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.common.errors import BackupError
from dbmon_pipeline.core.generation.generation import Generation, read_parquet
from dbmon_pipeline.core.schema.manifest import FILE_NAME, Manifest, read_manifest

LIST_NAME = "backup.json"
"""The file that makes a folder a backup; a generation has none."""
_FORMAT_VERSION = 1


class FileList(msgspec.Struct, frozen=True, kw_only=True):
    """The list of a backup's files.

    Attributes:
        format_version: The version of this layout.
        sha256: The SHA-256 of each file, by its path in the backup.
    """

    format_version: Annotated[int, Meta(ge=1)] = _FORMAT_VERSION
    sha256: dict[str, str]


class _Version(msgspec.Struct):
    format_version: int


def file_names(manifest: Manifest) -> Iterator[str]:
    """List the files of a generation by their paths in it."""
    yield FILE_NAME
    for table, files in manifest.tables.items():
        for file in files:
            yield f"{table}/{file.name}"


def read_list(folder: Path) -> FileList:
    """Read the list of a backup.

    Raises:
        BackupError: There is none, or it cannot be understood.
    """
    try:
        text = (folder / LIST_NAME).read_bytes()
        version = msgspec.json.decode(text, type=_Version).format_version
        if version <= _FORMAT_VERSION:
            return msgspec.json.decode(text, type=FileList)
    except (FileNotFoundError, NotADirectoryError):
        raise BackupError(
            f"{folder} is no backup of dbmon" if folder.exists() else f"{folder} does not exist",
            remedy="name a folder that dbmon backup made",
        ) from None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BackupError(
            f"{folder / LIST_NAME} cannot be read ({error})", remedy="name another folder"
        ) from None
    raise BackupError(
        f"{folder} was made by a newer version of dbmon", remedy="upgrade dbmon-pipeline"
    )


def open_backup(folder: Path) -> tuple[Generation, FileList]:
    """Open a backup after all of its files were checked.

    Raises:
        BackupError: It is none, or it is damaged.
        NotPublishedError: A newer version wrote its manifest.
    """
    files = read_list(folder)
    try:
        is_same = checksums(folder, [FILE_NAME])[FILE_NAME] == files.sha256.get(FILE_NAME)
    except OSError as error:
        raise damaged_backup(folder, f"{FILE_NAME} cannot be read: {error.strerror}") from None
    if not is_same:
        raise damaged_backup(folder, f"{FILE_NAME} is not what was backed up")
    backup = Generation(folder, read_manifest(folder))
    if problem := find_problem(backup, files):
        raise damaged_backup(folder, problem)
    return backup, files


def damaged_backup(folder: Path, problem: str) -> BackupError:
    """Make the error that tells of a damaged backup."""
    return BackupError(f"the backup {folder} is damaged ({problem})", remedy="take another backup")


def find_problem(generation: Generation, files: FileList) -> str | None:
    """Tell what is wrong with the files of a generation; None if nothing is."""
    rows: dict[Path, int] = {}
    for table, listed in generation.manifest.tables.items():
        if not table.isidentifier():  # it may be a path out of the folder
            return f"{table!r} is no name of a table"
        for file in listed:
            if not generation.is_whole(table, file):
                return f"{table}/{file.name} is not whole"
            rows[generation.path(table, file)] = file.rows
    if set(files.sha256) != set(file_names(generation.manifest)):
        return f"{LIST_NAME} lists other files than {FILE_NAME}"
    differing = dict(checksums(generation.folder, files.sha256).items() - files.sha256.items())
    if differing:
        return f"{min(differing)} is not what was backed up"
    return _wrong_rows(rows)


def _wrong_rows(rows: dict[Path, int]) -> str | None:
    """Tell which file has another number of rows by its footer; None if none has."""
    if not rows:
        return None
    relation = read_parquet(list(rows)).replace("read_parquet", "parquet_file_metadata", 1)
    try:
        with connect() as con:
            found = con.execute(f"SELECT file_name, num_rows FROM {relation}").fetchall()
    except duckdb.Error as error:
        return str(error).splitlines()[0]
    counts = {Path(name): count for name, count in found}
    for path, count in rows.items():
        if counts.get(path) != count:
            return f"{path.parent.name}/{path.name} has {counts.get(path, 'no')} rows"
    return None


def checksums(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Compute the SHA-256 of files of a folder.

    Raises:
        OSError: One cannot be read.
    """
    found = {}
    for name in names:
        with (folder / name).open("rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
