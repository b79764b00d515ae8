"""Text from the data, made harmless for where it is shown."""

from __future__ import annotations

import unicodedata

_LONGEST = 200


def plain(text: str, longest: int = _LONGEST) -> str:
    """Put a text on one line, without control characters, and cut it."""
    line = " ".join(text.split())
    # Category C: controls, and what turns text.
    kept = "".join(char for char in line if not unicodedata.category(char).startswith("C"))
    return kept if len(kept) <= longest else f"{kept[: longest - 1]}…"
