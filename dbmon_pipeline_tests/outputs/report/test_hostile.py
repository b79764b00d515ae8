"""Text from the data is text: in the page, in its drawings, in JSON and in Markdown."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from dbmon_pipeline.core.common.instants import HOUR
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.outputs.report.gather import gather
from dbmon_pipeline.outputs.report.summary import markdown
from dbmon_pipeline.outputs.report.words import cut
from dbmon_pipeline_tests.helpers import execution
from dbmon_pipeline_tests.outputs.report.conftest import AS_OF, Made, report_of

SCRIPT = "<script>alert(1)</script>'; DROP TABLE x;--"
NAMES = (
    SCRIPT,
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "two\nlines\r\tand a tab",
    "]]></svg><script>alert(2)</script>",
    "\N{GRINNING FACE} \N{RIGHT-TO-LEFT OVERRIDE}gnp.exe\N{ZERO WIDTH SPACE}",
    "&lt;b&gt; &amp;",
    "x" * 10_000,
    "",
    " ",
    "\x01\x02",
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Every text that the data have is hostile."""
    rows = [
        execution(
            AS_OF - (n + 1) * HOUR / 4,
            repo=name,
            model_tier=name,
            pool_type=name,
            task_type=name,
            error_type=name,
            error_message=name,
            solution_summary=name,
            success=n % 3 == 0,
        )
        for n in range(6)
        for name in NAMES
    ]
    return report_of(tmp_path_factory.mktemp("hostile"), rows)


def test_the_page_is_what_it_is_with_harmless_names(report: Made) -> None:
    """No element comes from the data, and the names can be read, each on its line."""
    names = {name for name, _ in report.page.tags}
    assert names.isdisjoint({"script", "img", "b", "iframe"})
    assert not any(key.startswith("on") for _, found in report.page.tags for key in found)
    rows = report.page.table("The repositories that cost most").rows
    assert {cells[0] for cells in rows} <= {cut(name) for name in NAMES}
    assert SCRIPT in report.page.text
    assert "{{ 7 * 7 }}" in report.page.text
    assert "49" not in {cells[0] for cells in rows}
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in report.page.text
    assert "x" * 100 not in report.page.text


def test_drawings_are_sound(report: Made) -> None:
    """Each is well-formed by itself and draws no more than shapes and text."""
    drawings = re.findall(r"<svg .*?</svg>", report.path.read_text("utf-8"), flags=re.DOTALL)
    assert len(drawings) == len(report.page.images) >= 9
    for drawing in drawings:
        tags = {element.tag for element in ET.fromstring(drawing).iter()}  # noqa: S314 - ours
        assert tags <= {"svg", "g", "path", "text", "rect", "line", "defs", "clipPath", "title"}


def test_json_has_the_texts_cut(report: Made) -> None:
    """As they are, up to their length."""
    repos = {row["repo"] for row in report.rows("trouble", "failing_repositories")}
    assert SCRIPT in repos
    assert max(map(len, repos)) <= 500


def test_markdown_shows_them_as_they_are(settings: Settings) -> None:
    """What a rule says of such a scope draws no table and no link of its own."""
    hostile = "a|b [x](javascript:y) <script> `z`"
    found = replace(gather(settings, AS_OF, TimeRange.DAY), gist=(hostile, "fine"))
    text = markdown(found)
    assert "a\\|b \\[x\\]\\(javascript:y\\) &lt;script&gt; \\`z\\`" in text
    assert text.count("\n| ") == 8


def test_a_long_text_is_cut_before_it_is_looked_at() -> None:
    """A name of megabytes costs no time, and a blank one is called so."""
    assert len(cut("y" * 10**7)) == 90
    assert cut("\u202e\x00 \n") == "(blank)"
