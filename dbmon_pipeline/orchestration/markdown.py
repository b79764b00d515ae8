"""Tables for the Dagster UI, in which text from the data stays text."""

import re
from collections.abc import Iterable

from dbmon_pipeline.core.common.safe_text import plain

_SPECIAL = re.compile(r"[^\w\s.,:;%$/+-]", re.ASCII)


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
    return _SPECIAL.sub(lambda character: f"&#{ord(character[0])};", plain(str(value)))
