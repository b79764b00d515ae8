"""Tables for the Dagster UI, in which text from the data stays text."""

import re
from collections.abc import Iterable

_LONGEST_CELL = 200
_SPECIAL = re.compile(r"[^\w\s.,:;%$/+-]", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")


def markdown_table(columns: str, rows: Iterable[Iterable[object]]) -> str:
    """Render a table; a column whose name ends in a colon is aligned to the right.

    Args:
        columns: Their names, with a space between.
        rows: What stands in each of them; integers get thousands separators.
    """
    names = columns.split(" ")
    head = " | ".join(name.removesuffix(":").replace("_", " ") for name in names)
    rule = "|".join("---:" if name.endswith(":") else "---" for name in names)
    lines = (f"| {' | '.join(map(_cell, row))} |" for row in rows)
    return "\n".join((f"| {head} |", f"|{rule}|", *lines))


def _cell(value: object) -> str:
    """Render a value as one line of text, each character of which means itself."""
    if isinstance(value, int):
        return f"{value:,}"
    text = _CONTROL.sub(" ", str(value))
    if len(text) > _LONGEST_CELL:
        text = f"{text[: _LONGEST_CELL - 1]}\N{HORIZONTAL ELLIPSIS}"
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", text)
