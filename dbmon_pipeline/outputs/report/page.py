"""The page: one HTML file that asks nothing of anybody, and the same content as JSON."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dbmon_pipeline.core.common.instants import iso
from dbmon_pipeline.core.common.rows import Records, Scalar
from dbmon_pipeline.outputs.report import palette, words
from dbmon_pipeline.outputs.report.changes import Change, Unit, records
from dbmon_pipeline.outputs.report.content import Chart, Report, Table

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_LONGEST_TEXT = 500


class Judgement(NamedTuple):
    """A word for whether a change is more than noise, and a mark that goes with it."""

    word: str
    mark: str


def html(report: Report, json_name: str) -> str:
    """Render a report as a page.

    Args:
        report: The report.
        json_name: The name of the file beside it that has the same as JSON.
    """
    return (
        _templates()
        .get_template("report.html.j2")
        .render(
            report=report,
            json_name=json_name,
            period=words.period(report.time_range),
            moment=lambda instant: words.moment(instant, report.time_zone),
            shown=lambda column, value: words.shown(column, value, report.time_zone),
            dark_rules=_markup(palette.dark_rules()),
        )
    )


def index(reports: Records, time_zone: str) -> str:
    """Render the page that lists reports.

    Args:
        reports: Each with its file, period, instant and gist, the newest first.
        time_zone: The zone of the instants.
    """
    return (
        _templates()
        .get_template("index.html.j2")
        .render(reports=reports, shown=lambda column, value: words.shown(column, value, time_zone))
    )


def as_json(report: Report) -> str:
    """Render a report as JSON; long texts from the data are cut."""
    about = report.about
    document = {
        "time_range": report.time_range,
        "time_zone": report.time_zone,
        "as_of": iso(about.as_of),
        "window_start": iso(report.window_start),
        "window_end": iso(report.window_end),
        "data_through": iso(about.data_through) if about.data_through else None,
        "published_at": iso(about.published_at) if about.published_at else None,
        "source": str(about.path),
        "samples": report.samples,
        "gist": report.gist,
        "changes": records(report.changes),
        "sections": {
            section.name: {
                "title": section.title,
                "lead": section.lead,
                "tables": {table.name: _table(table) for table in section.tables},
            }
            for section in report.sections
        },
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)


def _table(table: Table) -> dict[str, object]:
    return {
        "caption": table.caption,
        "questions": table.questions,
        "left_out": table.left_out,
        "rows": [{name: _cut(value) for name, value in row.items()} for row in table.rows],
    }


def _cut(value: Scalar) -> Scalar:
    is_long = isinstance(value, str) and len(value) > _LONGEST_TEXT
    return f"{str(value)[: _LONGEST_TEXT - 1]}…" if is_long else value


@cache
def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"draw": _draw, "heading": words.heading, "executions": words.executions}
    environment.filters |= {"figure": figure, "difference": difference, "judged": judge_change}
    return environment


def _draw(chart: Chart, rows: Records) -> Markup:
    from dbmon_pipeline.outputs.report.charts import svg  # loads Altair, which is slow

    return _markup(svg(chart, rows))


def _markup(text: str) -> Markup:
    """Mark text of ours as markup already."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - escaped by whoever made it


def figure(value: float | None, unit: Unit) -> str:
    """Format a figure with its unit."""
    if value is None:
        return words.NO_DATA
    match unit:
        case "rate":
            return words.percent(value)
        case "usd":
            return words.usd(value)
        case "seconds":
            return words.seconds(value)
    return f"{value:,.1f}"


def difference(change: Change) -> str:
    """Format the change of a figure."""
    if change.change is None or change.before is None:
        return words.NO_DATA
    if change.unit == "rate":
        return f"{change.change * 100:+.1f} points"
    return f"{change.change / change.before:+.1%}" if change.before else "from nothing"


def judge_change(change: Change) -> Judgement:
    """Judge whether a change is more than noise."""
    match change.is_more_than_noise:
        case None:
            return Judgement("cannot tell", "unsure")
        case False:
            return Judgement("no more than noise", "same")
    if change.is_good_up is None:
        return Judgement("more than noise", "other")
    is_better = ((change.change or 0) > 0) is change.is_good_up
    if is_better:
        return Judgement("better, more than noise", "better")
    return Judgement("worse, more than noise", "worse")
