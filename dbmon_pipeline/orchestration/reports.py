"""The reports: a page a day and one a week, made from what is published; they take no lock."""

from typing import Any

import dagster as dg
from pydantic import Field

from dbmon_pipeline.core.common.instants import parse_as_of
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.orchestration.assets import OWNERS, PUBLICATION
from dbmon_pipeline.orchestration.groups import REPORTS
from dbmon_pipeline.orchestration.live_runs import live_run
from dbmon_pipeline.orchestration.namespace import Project
from dbmon_pipeline.outputs.report.files import write_report
from dbmon_pipeline.outputs.report.summary import markdown


class ReportConfig(dg.Config):
    """Optional wishes for one report."""

    as_of: str | None = Field(
        None, description="Report as if it were this time: ISO 8601, in the past."
    )


def report_assets(project: Project) -> list[dg.AssetsDefinition]:
    """Define the two reports."""
    return [
        _report(project, "daily_report", "the last 24 hours", TimeRange.DAY),
        _report(project, "weekly_report", "the last 7 days", TimeRange.WEEK),
    ]


def _report(project: Project, name: str, period: str, time_range: TimeRange) -> dg.AssetsDefinition:
    namespace = project.namespace

    @dg.asset(
        key=namespace.key(name),
        deps=[namespace.key(PUBLICATION)],
        group_name=REPORTS,
        kinds={"html", "json"},
        owners=OWNERS,
        description=f"The report of {period}: a page that opens offline, and the same as JSON.",
    )
    def report(
        context: dg.AssetExecutionContext, config: ReportConfig
    ) -> dg.MaterializeResult[Any]:
        """Write the report into the home."""
        with live_run(project.settings.home, context.run.run_id):
            written = write_report(project.settings, parse_as_of(config.as_of), time_range)
        changes = written.report.changes
        return dg.MaterializeResult(
            metadata={
                "summary": dg.MetadataValue.md(markdown(written.report)),
                "page": dg.MetadataValue.path(written.page),
                "index": dg.MetadataValue.path(written.page.with_name("index.html")),
                "executions": written.report.samples,
                "changes_more_than_noise": sum(one.is_more_than_noise is True for one in changes),
            }
        )

    return report
