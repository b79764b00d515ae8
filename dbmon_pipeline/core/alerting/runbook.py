"""Links to the sections of RUNBOOK.md."""

from __future__ import annotations

import re


def anchor(section: str) -> str:
    """Return the anchor of a section, as it is made from its heading."""
    return re.sub(r"[^\w\- ]", "", section.strip().lower()).replace(" ", "-")


def link(section: str) -> str:
    """Return the link to a section: the file and the anchor."""
    return f"RUNBOOK.md#{anchor(section)}"
