"""A reader process for tests, run as a module: it soon gives up a file that never holds still."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dbmon_pipeline.core.reader.handlers import HANDLERS
from dbmon_pipeline.core.reader.serve import serve
from dbmon_pipeline.core.source.live_file import LiveFile

MODULE = __spec__.name if __spec__ else __name__
_PATIENCE_SECONDS = 0.5


def _lose_patience() -> None:
    """Shorten the time for which readings are repeated."""
    read = LiveFile.read

    def read_briefly(file: LiveFile, query: Callable[..., Any], *, seconds: float) -> object:
        return read(file, query, seconds=min(seconds, _PATIENCE_SECONDS))

    setattr(LiveFile, "read", read_briefly)  # noqa: B010 - mypy knows it as a method


if __name__ == "__main__":
    _lose_patience()
    serve(HANDLERS)
