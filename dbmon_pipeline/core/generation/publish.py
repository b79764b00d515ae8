"""Publishing: a draft becomes the generation that readers see, in one step.

Readers follow ``published/current`` once and stay in that generation.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from dbmon_pipeline.core.common.atomic_files import sync, sync_tree, write_whole
from dbmon_pipeline.core.common.errors import NotPublishedError
from dbmon_pipeline.core.generation.generation import Generation
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.schema.manifest import FILE_NAME, Manifest, read_manifest


@dataclass(frozen=True)
class Draft:
    """A generation that is being written.

    Attributes:
        folder: Where it lies.
        before: What is published now; None if nothing is.
        number: The number that it will have.
    """

    folder: Path
    before: Generation | None
    number: int


@contextmanager
def open_draft(home: Home) -> Iterator[Draft]:
    """Make a folder for a new generation, for whoever holds the home's lock.

    What is left of it at the end, or of an earlier one, is removed; so are generations newer than
    the current one, which a process that was killed did not get to publish.

    Raises:
        NotPublishedError: What is published cannot be understood.
        OSError: The folder cannot be written.
    """
    home.generations.mkdir(parents=True, exist_ok=True)
    for leftover in home.generations.glob(".draft-*"):
        shutil.rmtree(leftover)
    for leftover in home.published.glob(".current.*"):
        leftover.unlink()
    before = current_generation(home)
    numbered = _numbered(home)
    if before is not None:
        for number, path in numbered.items():
            if number > before.manifest.generation:
                shutil.rmtree(path, ignore_errors=True)
    folder = home.generations / f".draft-{os.getpid()}"
    folder.mkdir()
    try:
        yield Draft(folder, before, max([0, *numbered]) + 1)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def current_generation(home: Home) -> Generation | None:
    """Find what is published now.

    If ``current`` leads nowhere, it is the newest generation that is kept.

    Raises:
        NotPublishedError: Its manifest cannot be understood.
    """
    try:
        folder = home.generation
    except NotPublishedError:  # a link that leads to itself
        folder = home.current
    if not (folder / FILE_NAME).exists():
        numbered = _numbered(home)
        kept = [numbered[n] for n in sorted(numbered) if (numbered[n] / FILE_NAME).exists()]
        if not kept:
            return None
        folder = kept[-1]
    return Generation(folder, read_manifest(folder))


def write_manifest(draft: Draft, manifest: Manifest) -> None:
    """Write the manifest into a draft."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1).decode()
    write_whole(draft.folder / FILE_NAME, text)


def swap_in(home: Home, draft: Draft) -> None:
    """Have readers see a draft from now on."""
    shutil.rmtree(draft.folder / ".spill", ignore_errors=True)
    final = home.generations / f"{draft.number:06d}"
    sync_tree(draft.folder)
    draft.folder.rename(final)
    sync(home.generations)
    link = home.published / f".current.{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(final.relative_to(home.published))
    link.replace(home.current)
    sync(home.published)


def remove_old_generations(home: Home, *, keep: int) -> list[Path]:
    """Remove all but the newest generations; return those that are still there."""
    old = [path for _, path in sorted(_numbered(home).items())[:-keep]]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
    return [path for path in old if path.exists()]


def _numbered(home: Home) -> dict[int, Path]:
    """List the generations by their number."""
    folder = home.generations
    try:
        return {
            int(path.name): path
            for path in folder.iterdir()
            if path.name.isascii() and path.name.isdigit() and path.is_dir()
        }
    except FileNotFoundError:
        return {}
