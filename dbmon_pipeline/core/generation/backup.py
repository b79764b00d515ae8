"""Backups: a copy of one generation, made while others are published, and taken up in a new home.

A generation that is copied name by name may be removed meanwhile. Its files are therefore linked,
or all opened before the first one is copied; if it is gone by then, the next one is taken.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from dbmon_pipeline.core.common.atomic_files import sync, sync_tree, write_whole
from dbmon_pipeline.core.common.duck import storage_errors
from dbmon_pipeline.core.common.errors import BackupError, NotPublishedError
from dbmon_pipeline.core.generation.backup_files import (
    LIST_NAME,
    FileList,
    checksums,
    damaged_backup,
    file_names,
    find_problem,
    open_backup,
    read_list,
)
from dbmon_pipeline.core.generation.generation import Generation
from dbmon_pipeline.core.generation.publish import current_generation, open_draft, swap_in
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.home.locks import workshop
from dbmon_pipeline.core.schema.manifest import Manifest

_ATTEMPTS = 20
"""Most generations that may vanish, one after the other, before they could be linked."""
_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP)
_SPARE_DESCRIPTORS = 64


@dataclass(frozen=True)
class Backup:
    """A backup that was made.

    Attributes:
        folder: Where it lies.
        manifest: What it holds.
        files: How many tables' files it has.
        size_bytes: Their size.
        is_linked: Whether they share the disk's blocks with the home.
    """

    folder: Path
    manifest: Manifest
    files: int
    size_bytes: int
    is_linked: bool


def back_up(home: Home, folder: Path) -> Backup:
    """Make a backup of what is published now, which readers and refreshes do not notice.

    Args:
        home: The home.
        folder: A folder that does not exist, is empty, or is a backup, which is replaced.

    Raises:
        NotPublishedError: Nothing is published, or a file of it is damaged.
        BackupError: The folder holds something else, or another process makes the same backup.
        StorageError: The backup cannot be written; what was there stays.
    """
    with storage_errors(folder):
        target = folder.resolve()
        _check_target(home, target)
        draft, replaced, lock = (
            target.with_name(f".{target.name[:50]}.{what}")
            for what in ("draft", "replaced", "lock")
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        busy = BackupError(
            f"another process makes a backup in {target}", remedy="wait until it has ended"
        )
        with workshop(draft, lock, busy):
            if replaced.exists() and not target.exists():
                replaced.rename(target)
            _check_content(target)
            for _ in range(_ATTEMPTS):
                seen = home.generation
                try:
                    made = _back_up(home, draft / "content", target)
                except NotPublishedError:
                    if home.generation == seen:
                        raise
                else:
                    _put_in_place(draft / "content", target, replaced)
                    return made
    raise BackupError(
        f"each of {_ATTEMPTS} generations of {home.path} was removed before it could be copied",
        remedy="repeat when it is refreshed less often, or raise keep.generations",
    )


def restore_backup(home: Home, folder: Path) -> Manifest:
    """Publish a backup in a home that has nothing published, for whoever holds its lock.

    Args:
        home: The home.
        folder: The backup.

    Returns:
        What is published now.

    Raises:
        BackupError: The folder is no backup, it is damaged, or something is published already.
        NotPublishedError: A newer version made it, or what is published cannot be understood.
        StorageError: The home cannot be written; nothing is published then.
    """
    if before := current_generation(home):
        raise BackupError(
            f"{home.path} has published generation {before.manifest.generation}, which the backup"
            f" {folder} would replace",
            remedy="name a new home with --home, or refresh without --from-backup",
        )
    backup, files = open_backup(folder)
    with storage_errors(home.published), open_draft(home) as draft:
        _take(backup, draft.folder)
        if problem := find_problem(Generation(draft.folder, backup.manifest), files):
            raise damaged_backup(folder, problem)
        swap_in(home, replace(draft, number=backup.manifest.generation))
    return backup.manifest


def _check_target(home: Home, target: Path) -> None:
    """Check that a folder is none that a backup must not replace, by its place.

    Raises:
        BackupError: It is the root of a disk, lies in what is published, or is no folder.
    """
    if os.path.ismount(target):
        raise BackupError(
            f"{target} is the root of a disk, which cannot be replaced as a whole",
            remedy="name a new folder in it",
        )
    if target.is_relative_to(home.published.resolve()):
        raise BackupError(
            f"{target} lies in what is published", remedy="name a folder outside of the home"
        )
    if target.exists() and not target.is_dir():
        raise BackupError(f"{target} is no folder", remedy="name a new one")


def _check_content(target: Path) -> None:
    """Check that a folder holds nothing, or a backup and nothing else.

    Raises:
        BackupError: It holds something else, which would be lost.
    """
    there = {path.name for path in target.iterdir()} if target.exists() else set()
    if not there:
        return
    if LIST_NAME not in there:
        raise BackupError(
            f"{target} is not empty, and no backup of dbmon", remedy="name a new folder"
        )
    ours = {name.split("/")[0] for name in (*read_list(target).sha256, LIST_NAME)}
    if others := sorted(there - ours):
        raise BackupError(
            f"{target} holds {others[0]!r} beside a backup", remedy="name a new folder"
        )


def _back_up(home: Home, content: Path, target: Path) -> Backup:
    """Make a backup of one generation.

    Raises:
        NotPublishedError: There is none, or a file of it is damaged or gone.
    """
    generation = current_generation(home)
    if generation is None:
        raise NotPublishedError(
            f"nothing is published in {home.published}", remedy="run dbmon refresh first"
        )
    shutil.rmtree(content, ignore_errors=True)
    content.mkdir()
    manifest = generation.manifest
    try:
        is_linked = _take(generation, content)
        files = FileList(sha256=checksums(content, file_names(manifest)))
        problem = find_problem(Generation(content, manifest), files)
    except FileNotFoundError as error:
        problem = f"{error.filename} is gone"
    if problem:
        raise NotPublishedError(
            f"{generation.folder} is damaged ({problem})",
            remedy="run dbmon refresh, which makes it again, then repeat",
        )
    write_whole(content / LIST_NAME, msgspec.json.format(msgspec.json.encode(files)).decode())
    sync_tree(content)
    return Backup(
        folder=target,
        manifest=manifest,
        files=sum(map(len, manifest.tables.values())),
        size_bytes=sum(file.bytes for table in manifest.tables.values() for file in table),
        is_linked=is_linked,
    )


def _put_in_place(content: Path, target: Path, replaced: Path) -> None:
    """Give a draft its name; a backup that has it already is put aside, and back if that fails."""
    shutil.rmtree(replaced, ignore_errors=True)
    if target.exists():
        target.rename(replaced)
    try:
        content.rename(target)
    except OSError:
        if replaced.exists():
            replaced.rename(target)
        raise
    sync(target.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _take(generation: Generation, target: Path) -> bool:
    """Link the files of a generation into a folder, or copy them.

    Returns:
        Whether they are linked.

    Raises:
        FileNotFoundError: One of them is gone.
    """
    for table in generation.manifest.tables:
        (target / table).mkdir()
    try:
        for name in file_names(generation.manifest):
            (target / name).hardlink_to(generation.folder / name)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    else:
        return True
    _copy(generation, target)
    return False


def _copy(generation: Generation, target: Path) -> None:
    """Copy the files of a generation, which may be removed once all of them are open."""
    paths = list(file_names(generation.manifest))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = len(paths) + _SPARE_DESCRIPTORS
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))
    with ExitStack() as stack:
        files = [stack.enter_context((generation.folder / name).open("rb")) for name in paths]
        for name, file in zip(paths, files, strict=True):
            (target / name).unlink(missing_ok=True)
            with (target / name).open("xb") as copy:
                shutil.copyfileobj(file, copy)
            (target / name).chmod(0o444)
