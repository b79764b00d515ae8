"""A page as a parser sees it: tags, headings, tables, and what its drawings say."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"meta", "link", "br", "img", "input", "hr"}


@dataclass
class FoundTable:
    """A table of a page: its caption, its heads, and the text of its rows."""

    caption: str = ""
    heads: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)


class Parsed(HTMLParser):
    """A page that was parsed; every element must be closed in its turn.

    Attributes:
        tags: Each element's name and attributes, in their order.
        headings: The levels of the headings.
        tables: The tables.
        images: The texts of the drawings.
        text: All text, without style sheets.
    """

    def __init__(self, page: str) -> None:
        """Parse a page."""
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[int] = []
        self.tables: list[FoundTable] = []
        self.images: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self._kept = ""
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag not in _VOID:
            self._open.append(tag)
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append(int(tag[1]))
        if found.get("role") == "img":
            self.images.append(found.get("aria-label") or "")
        if tag == "table":
            self.tables.append(FoundTable())
        if tag == "tr":
            self.tables[-1].rows.append([])
        if tag in ("caption", "th", "td"):
            self._kept = ""

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element without content, as in a drawing."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """An element ends."""
        assert self._open.pop() == tag
        text = " ".join(self._kept.split())
        if tag == "caption":
            self.tables[-1].caption = text
        if tag in ("th", "td"):
            self.tables[-1].rows[-1].append(text)
        if tag == "thead":
            self.tables[-1].heads = self.tables[-1].rows.pop()

    def handle_data(self, data: str) -> None:
        """Text."""
        if "style" not in self._open:
            self.text += data
            self._kept += data

    def table(self, caption: str) -> FoundTable:
        """The table whose caption begins so."""
        (found,) = (table for table in self.tables if table.caption.startswith(caption))
        return found
