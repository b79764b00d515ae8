"""The summary of a report in Markdown, for where there is no room for the page."""

from __future__ import annotations

import re
from html import escape

from dbmon_pipeline.outputs.report.content import Report
from dbmon_pipeline.outputs.report.page import difference, figure, judge_change


def markdown(report: Report) -> str:
    """Render the gist of a report, and what changed."""
    gist = "\n\n".join(map(_harmless, report.gist))
    rows = "\n".join(
        f"| {change.figure} | {figure(change.now, change.unit)} |"
        f" {figure(change.before, change.unit)} | {difference(change)} |"
        f" {judge_change(change).word} |"
        for change in report.changes
    )
    return (
        f"{gist}\n\n| figure | now | before | change | noise? |\n|---|---:|---:|---:|---|\n{rows}"
    )


def _harmless(text: str) -> str:
    """Escape text from the data for HTML and Markdown."""
    return re.sub(r"([\\`*_\[\]()#|!~])", r"\\\1", escape(text))
