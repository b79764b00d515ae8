"""Files for others: the metrics for the node exporter, and the rules for Prometheus."""

from __future__ import annotations

from pathlib import Path

from dbmon_pipeline.core.common.atomic_files import write_whole
from dbmon_pipeline.core.common.errors import OutputError

_FOR_ALL = 0o644


def write_world_readable(path: Path, text: str) -> None:
    """Write a file whole that everybody may read.

    What it is called until it is whole does not end in ``.prom``, which the collector looks for.

    Raises:
        OutputError: It cannot be written; a folder that is missing is not made.
    """
    try:
        if not path.parent.is_dir():
            raise NotADirectoryError(0, "there is no such folder")
        write_whole(path, text, mode=_FOR_ALL)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror})",
            remedy="name a file in a folder that you may write",
        ) from None
