"""The copy of a source that lies in the home: taken again only if the source has changed."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from dbmon_pipeline.core.common.atomic_files import write_whole
from dbmon_pipeline.core.common.errors import SourceLockedError
from dbmon_pipeline.core.source.file_check import signature
from dbmon_pipeline.core.warehouse.snapshot import Snapshot, SnapshotError, take_snapshot

_ABOUT = "about.json"

logger = logging.getLogger(__name__)


def current_snapshot(source: Path, folder: Path, locked: SourceLockedError) -> Snapshot:
    """A copy of a source as it is now: the one that was taken last, if it has not changed since.

    Raises:
        SourceLockedError: None could be taken.
    """
    target, about = folder / source.name, folder / _ABOUT
    now = signature(source)
    if _text_of(about) == json.dumps({"of": str(source), "signature": now}) and target.exists():
        return Snapshot(target, target.stat().st_size, 0.0, 0)
    try:
        about.unlink(missing_ok=True)
        taken = take_snapshot(source, target)
        write_whole(about, json.dumps({"of": str(source), "signature": now}))
    except (SnapshotError, OSError) as error:
        raise SourceLockedError(
            f"{locked.message}, and no copy of it could be taken: {error}", remedy=locked.remedy
        ) from None
    logger.info("%s: read from a copy of %.1f MB", locked.message, taken.size_bytes / 1e6)
    return taken


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def distrust(snapshot: Snapshot) -> None:
    """Have the next refresh take another copy."""
    (snapshot.path.parent / _ABOUT).unlink(missing_ok=True)
