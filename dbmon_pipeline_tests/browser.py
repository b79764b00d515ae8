"""Debian's Chromium for tests: a page at a width, light or dark, and what it did."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

CHROMIUM = shutil.which("chromium")
_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
)

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")


@dataclass
class Opened:
    """A page that was opened.

    Attributes:
        page: The page itself.
        errors: What it complained of on its console, and what its scripts threw.
        requests: Every address that it asked for, its own first.
    """

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def overflow(self) -> int:
        """How many pixels of it lie to the right of the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window, and with a profile of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Browser, address: str, *, width: int, dark: bool = False, height: int = 900
) -> Iterator[Opened]:
    """A page in a fresh context, once it has loaded.

    Args:
        browser: The browser.
        address: What to open.
        width: The width of the window in pixels.
        dark: Whether dark colours are preferred.
        height: The height of the window in pixels.
    """
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
    )
    try:
        seen = Opened(context.new_page())

        def heard(message: ConsoleMessage) -> None:
            if message.type == "error":
                seen.errors.append(message.text)

        seen.page.on("console", heard)
        seen.page.on("pageerror", lambda error: seen.errors.append(str(error)))
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.goto(address)
        yield seen
    finally:
        context.close()
