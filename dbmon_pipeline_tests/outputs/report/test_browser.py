"""The report in a browser: on a phone and on a desk, by day and by night, and on paper."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
from playwright.sync_api import Browser

from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.outputs.report.files import write_report
from dbmon_pipeline.outputs.report.palette import DARK
from dbmon_pipeline_tests.browser import Opened, chromium, needs_chromium, opened
from dbmon_pipeline_tests.outputs.report.conftest import AS_OF, Made
from dbmon_pipeline_tests.outputs.report.test_hostile import report as hostile

__all__ = ["hostile"]
pytestmark = needs_chromium

_SHEET = 688
"""The width of A4 between its margins, in pixels."""

_INKS = """
[...document.querySelectorAll('figure svg text, figure svg path')].map(
    drawn => getComputedStyle(drawn).fill
)
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for all tests."""
    with chromium() as found:
        yield found


def as_rgb(colour: str) -> str:
    """A colour as browsers tell it."""
    return f"rgb({', '.join(str(int(colour[place : place + 2], 16)) for place in (1, 3, 5))})"


def test_it_opens_as_it_should(browser: Browser, weekly: Made, hostile: Made) -> None:
    """Nothing is complained of, asked for, or out of sight, and the charts can be seen."""
    for report, opened_at in ((weekly, (1280, False)), (hostile, (390, True))):
        width, dark = opened_at
        with opened(browser, report.path.as_uri(), width=width, dark=dark) as seen:
            for width, dark in (opened_at, *product((1280, 390), (False, True))):
                seen.page.set_viewport_size({"width": width, "height": 900})
                seen.page.emulate_media(color_scheme="dark" if dark else "light")
                assert_shown(seen, report, width, dark)
            assert seen.errors == []
            assert seen.requests == [report.path.as_uri()]


def assert_shown(seen: Opened, report: Made, width: int, dark: bool) -> None:
    """See that a page fits its window, and that its charts have the colours for it."""
    assert seen.overflow == 0
    charts = seen.page.locator("figure svg")
    assert charts.count() == len(report.page.images)
    boxes = [charts.nth(place).bounding_box() for place in range(charts.count())]
    assert all(box and box["width"] > 200 and box["height"] > 25 for box in boxes)
    assert all(box and box["x"] + box["width"] <= width for box in boxes)
    inks = seen.page.evaluate(_INKS)
    mine = {as_rgb(one) for one in (DARK.values() if dark else DARK)}
    others = {as_rgb(one) for one in (DARK if dark else DARK.values())}
    assert mine & set(inks)
    assert not (others - mine) & set(inks)


def test_all_of_it_is_on_paper(browser: Browser, weekly: Made, hostile: Made) -> None:
    """Tables that are closed on a screen are printed, and none is wider than the sheet."""
    for report in (weekly, hostile):
        with opened(browser, report.path.as_uri(), width=_SHEET, dark=True) as seen:
            closed = seen.page.locator("details:not([open]) table").first
            assert not closed.is_visible()
            seen.page.emulate_media(media="print", color_scheme="light")
            assert closed.is_visible()
            assert not seen.page.locator("nav").is_visible()
            assert seen.overflow == 0


def test_the_index_leads_to_the_reports(browser: Browser, settings: Settings) -> None:
    """A click opens one."""
    page = write_report(settings, AS_OF, TimeRange.DAY).page
    with opened(browser, page.with_name("index.html").as_uri(), width=390) as seen:
        assert (seen.errors, seen.overflow) == ([], 0)
        seen.page.locator("main a").first.click()
        seen.page.wait_for_url(page.as_uri())
