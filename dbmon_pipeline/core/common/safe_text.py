"""Text from the data, made harmless for where it is shown."""

from __future__ import annotations

import unicodedata

_LONGEST = 200


def plain(text: str, longest: int = _LONGEST) -> str:
    """Put a text on one line, without control characters or what turns text, and cut it."""
    spaced = (" " if unicodedata.category(char) == "Cc" else char for char in text)
    line = " ".join("".join(spaced).split())
    kept = "".join(char for char in line if not unicodedata.category(char).startswith("C"))
    return kept if len(kept) <= longest else f"{kept[: longest - 1]}…"
