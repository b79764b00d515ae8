"""Paths as a person writes them."""

from __future__ import annotations

from pathlib import Path

from dbmon_pipeline.core.common.errors import ConfigError


def expanded(path: Path) -> Path:
    """Expand a path that may begin with ``~``, for the home of a user.

    Raises:
        ConfigError: There is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise ConfigError(
            f"{path} begins with the home of a user that is not known",
            remedy="write out the whole path",
        ) from None
