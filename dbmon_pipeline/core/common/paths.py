"""Paths as a person writes them."""

from __future__ import annotations

import os
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


def absolute(path: Path) -> Path:
    """Make a path absolute, expanding ``~``; the name of a symbolic link stays.

    Raises:
        ConfigError: There is no such user.
    """
    return Path(os.path.abspath(expanded(path)))  # noqa: PTH100 - the other way resolves links
