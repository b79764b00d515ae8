"""The reports: a page a day and one a week, made from what is published; they take no lock."""

from typing import Any

import dagster as dg

from dbmon_pipeline.core.common.instants import parse_as_of
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.home.locks import alive
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.orchestration.assets import OWNERS
from dbmon_pipeline.orchestration.groups import REPORTS
from dbmon_pipeline.orchestration.resources import failures
from dbmon_pipeline.outputs.report.files import write_report
from dbmon_pipeline.outputs.report.summary import markdown

_KINDS = {"html", "json"}


class ReportConfig(dg.Config):
    """What a report speaks for.

    Attributes:
        as_of: An ISO 8601 instant that has passed; the present one if left out.
    """

    as_of: str | None = None


@dg.asset(
    deps=["publication"],
    group_name=REPORTS,
    kinds=_KINDS,
    owners=OWNERS,
    description="The report of the last 24 hours: a page that opens offline, and the same as JSON.",
)
def daily_report(
    context: dg.AssetExecutionContext, config: ReportConfig
) -> dg.MaterializeResult[Any]:
    """Write the report of a day into the home."""
    return _written(context, config, TimeRange.DAY)


@dg.asset(
    deps=["publication"],
    group_name=REPORTS,
    kinds=_KINDS,
    owners=OWNERS,
    description="The report of the last 7 days: a page that opens offline, and the same as JSON.",
)
def weekly_report(
    context: dg.AssetExecutionContext, config: ReportConfig
) -> dg.MaterializeResult[Any]:
    """Write the report of a week into the home."""
    return _written(context, config, TimeRange.WEEK)


def _written(
    context: dg.AssetExecutionContext, config: ReportConfig, time_range: TimeRange
) -> dg.MaterializeResult[Any]:
    settings = Settings.load()
    with failures(), alive(settings.home.live_runs / context.run.run_id):
        done = write_report(settings, parse_as_of(config.as_of), time_range)
    report = done.report
    return dg.MaterializeResult(
        metadata={
            "summary": dg.MetadataValue.md(markdown(report)),
            "page": dg.MetadataValue.path(done.page),
            "index": dg.MetadataValue.path(done.page.with_name("index.html")),
            "executions": report.samples,
            "changes_more_than_noise": sum(
                change.is_more_than_noise is True for change in report.changes
            ),
        }
    )
