"""Where RUNBOOK.md says what to do."""

from __future__ import annotations

import re


def anchor(section: str) -> str:
    """A section as a part of an address, as it is made from its heading."""
    return re.sub(r"[^\w\- ]", "", section.strip().lower()).replace(" ", "-")


def link(section: str) -> str:
    """The file and the section."""
    return f"RUNBOOK.md#{anchor(section)}"
