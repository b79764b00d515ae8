"""Tables in the Dagster UI say what they are given, whatever that is."""

from __future__ import annotations

import html
import re

import pytest

from dbmon_pipeline.orchestration.markdown import markdown_table

HOSTILE = (
    "<script>alert(1)</script>'; DROP TABLE x;--",
    "[a link](javascript:alert(1))",
    "a | b || c",
    "`code` **bold** _thin_ ![picture](x)",
    "line\nline\r\n# heading\u2028end",
    "back\\slash &amp; &lt;",
    "\N{PARTY POPPER} \u202eright to left",
)


def test_a_table_has_a_head_and_rows() -> None:
    """Names without underscores, numbers to the right and with thousands separators."""
    assert markdown_table("last_24_hours rows:", [("executions", 12345), ("rate", "5 %")]) == (
        "| last 24 hours | rows |\n|---|---:|\n| executions | 12,345 |\n| rate | 5 % |"
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_text_stays_text(text: str) -> None:
    """No character of it means something to markdown or HTML, and it stays in its cell."""
    line = markdown_table("repo rows:", [(text, 1)]).splitlines()[2:]
    assert len(line) == 1
    cell = line[0].removeprefix("| ").removesuffix(" | 1 |")
    assert not set(re.sub(r"&#\d+;", "", cell)) & set("<>&|`*[]()!#\\'\"~")
    shown = html.unescape(cell)
    for word in ("alert(1)", "DROP TABLE x", "a | b || c", "**bold**"):
        assert (word in shown) == (word in text)


def test_a_long_text_is_cut() -> None:
    """So that a table stays one."""
    cell = markdown_table("repo", [("x" * 10_000,)]).splitlines()[2]
    assert cell == f"| {'x' * 199}&#8230; |"
