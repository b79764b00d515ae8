"""Addresses of sources that are no files, without their secrets."""

from __future__ import annotations

import re
from pathlib import Path

_SECRETS = (
    re.compile(r"(?<=password=)('[^']*'|\S+)"),
    re.compile(r"(?<=token=)[^&\s]+"),
    re.compile(r"(?<=:)[^:/@\s]+(?=@)"),
)


def remote_name(address: str) -> Path:
    """Name a source that is attached by an address: the address without its secrets."""
    return Path(mask_secrets(address))


def is_remote(path: Path) -> bool:
    """Tell whether a path is the name of a source that is no file."""
    return ":" in path.parts[0] if path.parts else False


def mask_secrets(text: str) -> str:
    """Replace the passwords and tokens of addresses in a text."""
    for secret in _SECRETS:
        text = secret.sub("***", text)
    return text
