"""``dbmon report``: a page for people, with the same as JSON beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dbmon_pipeline.core.common.instants import parse_as_of
from dbmon_pipeline.core.common.paths import expanded
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.faces.cli.options import AsOfOption, HomeOption, RangeOption
from dbmon_pipeline.faces.cli.output import print_info, print_result


def report(
    time_range: RangeOption = TimeRange.WEEK,
    out: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            metavar="FILE.html",
            help="The page; the JSON goes beside it. [reports in the home, with an index]",
        ),
    ] = None,
    home: HomeOption = None,
    as_of: AsOfOption = None,
) -> None:
    """Write a report, and print the name of its page.

    It reads only what is published, and needs nothing else when it is opened.
    """
    settings, instant = Settings.load(home=home), parse_as_of(as_of)
    from dbmon_pipeline.outputs.report.files import write_report

    page = expanded(out).absolute() if out else None
    written = write_report(settings, instant, time_range, page)
    for sentence in written.report.gist:
        print_info(sentence)
    print_result(str(written.page))
