"""The Dagster UI in a real browser: the asset graph, a check with its plots, a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, expect

from dbmon_pipeline.core.schema.catalogue import ROLLED_UP
from dbmon_pipeline.orchestration.groups import GROUPS
from dbmon_pipeline_tests.browser import Opened, chromium, needs_chromium, opened
from dbmon_pipeline_tests.served import END, HOUR, Served, served

pytestmark = needs_chromium
HOSTILE = "<script>alert(1)</script>'; DROP TABLE x;--"


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The UI after two refreshes, the second one while things go wrong."""
    folder, refreshes = tmp_path_factory.mktemp("ui"), (END - 7 * HOUR, END - 3 * HOUR)
    with served(folder, HOSTILE, *refreshes) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with chromium() as made:
        yield made


@contextmanager
def page(browser: Browser, ui: Served, path: str) -> Iterator[Opened]:
    """A page of the UI; it complains of nothing, and asks nobody else."""
    with opened(browser, ui.address + path, width=1600, height=2200) as made:
        made.page.on("dialog", lambda dialog: made.errors.append(dialog.message))
        yield made
        assert made.errors == []
        assert [
            address
            for address in made.requests
            if not address.startswith((ui.address, "blob:", "data:"))
        ] == []


def test_the_asset_graph_shows_the_flow(browser: Browser, ui: Served) -> None:
    """Every asset, group by group."""
    groups = ",".join(f"global@global:{group}" for group in GROUPS)
    with page(browser, ui, f"/asset-groups?expanded={groups}") as made:
        for group in GROUPS:
            expect(made.page.get_by_text(group, exact=True).first).to_be_visible()
        links = made.page.locator("svg [data-tooltip], svg a, svg div")
        expect(made.page.get_by_text("publication").first).to_be_visible()
        shown = " ".join(links.all_inner_texts())
        for name in ("executions", "hour_ledger", "check_history", "daily_report"):
            assert name in shown
        assert sum(table.name in shown for table in ROLLED_UP) >= len(ROLLED_UP) - 3


def test_a_check_says_what_it_watches_and_plots_its_value(browser: Browser, ui: Served) -> None:
    """Understandable without the code."""
    with page(browser, ui, "/assets/check_history?view=checks&checkDetail=success_rate") as made:
        text = made.page.get_by_text("Which part of the executions succeeded, over 1h:")
        expect(text).to_contain_text("warning below 85.0%, critical below 70.0%")
        expect(made.page.get_by_text("Plots", exact=True)).to_be_visible()
        for figure in ("value", "samples", "warning"):
            expect(made.page.get_by_text(figure, exact=True).first).to_be_visible()
        expect(made.page.locator("canvas").first).to_be_visible()
        assert made.page.locator("canvas").count() >= 4


def test_a_run_is_shown(browser: Browser, ui: Served) -> None:
    """It went well, although a rule is beyond its limit."""
    with page(browser, ui, f"/runs/{ui.latest_run()}") as made:
        expect(made.page.get_by_text("Success", exact=True).first).to_be_visible()
        expect(made.page.get_by_text("refresh", exact=True).first).to_be_visible()


def test_health_is_told_and_text_from_the_data_is_text(browser: Browser, ui: Served) -> None:
    """Of a repo whose name is a script, too."""
    with page(browser, ui, "/assets/publication?view=overview") as made:
        expect(made.page.get_by_text("beyond a limit").first).to_be_visible()
        expect(made.page.get_by_text(HOSTILE).first).to_be_visible()
