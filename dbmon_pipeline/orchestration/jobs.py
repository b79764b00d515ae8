"""Jobs: a refresh, the reports, and the retention of old runs.

Each has an executor of its own: that of all definitions is for the host to choose.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from dbmon_pipeline.core.common.instants import iso, utc_now
from dbmon_pipeline.orchestration.live_runs import live_run
from dbmon_pipeline.orchestration.namespace import (
    DAILY_REPORTING,
    JOBS,
    REFRESH,
    RETENTION,
    WEEKLY_REPORTING,
    Project,
)

_FINISHED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]


@dataclass(frozen=True)
class Jobs:
    """The jobs of one project."""

    refresh: UnresolvedAssetJobDefinition
    daily_reporting: UnresolvedAssetJobDefinition
    weekly_reporting: UnresolvedAssetJobDefinition
    retention: dg.JobDefinition


def define_jobs(project: Project, refreshed: dg.AssetsDefinition) -> Jobs:
    """Define the jobs.

    Args:
        project: Whose jobs they are.
        refreshed: The assets that a refresh makes.
    """
    namespace = project.namespace

    def reporting(name: str, report: str, description: str) -> UnresolvedAssetJobDefinition:
        return dg.define_asset_job(
            namespace.of(name),
            selection=[namespace.key(report)],
            description=description,
            executor_def=dg.in_process_executor,
        )

    return Jobs(
        refresh=dg.define_asset_job(
            namespace.of(REFRESH),
            selection=[*refreshed.keys],
            description="Find what changed, roll it up, check it, publish it.",
            executor_def=dg.in_process_executor,
        ),
        daily_reporting=reporting(
            DAILY_REPORTING, "daily_report", "Write the report of the last 24 hours."
        ),
        weekly_reporting=reporting(
            WEEKLY_REPORTING, "weekly_report", "Write the report of the last 7 days."
        ),
        retention=_retention(project, refreshed),
    )


def _retention(project: Project, refreshed: dg.AssetsDefinition) -> dg.JobDefinition:
    namespace, settings = project.namespace, project.settings
    reports = {namespace.key("daily_report"), namespace.key("weekly_report")}

    @dg.op(
        name=namespace.of("remove_old_runs"),
        description="Old runs of this project, with their events.",
    )
    def remove_old(context: dg.OpExecutionContext) -> None:
        """Remove old runs; what is published is removed when something newer is."""
        limit = utc_now() - timedelta(days=settings.config.keep.dagster_runs_days)
        with live_run(settings.home, context.run.run_id):
            removed = remove_old_runs(
                context.instance,
                limit,
                jobs=namespace.all_of(JOBS),
                assets=refreshed.keys | reports,
            )
        context.log.info(f"before {iso(limit)}: {removed} runs removed")
        context.add_output_metadata({"runs_removed": removed})

    @dg.job(
        name=namespace.of(RETENTION),
        description="Remove old runs with their events.",
        executor_def=dg.in_process_executor,
    )
    def retention() -> None:
        """Remove old runs, in one step."""
        remove_old()

    return retention


def remove_old_runs(
    instance: dg.DagsterInstance,
    limit: datetime,
    *,
    jobs: Collection[str],
    assets: Collection[dg.AssetKey],
) -> int:
    """Delete finished runs created before a limit that hold no latest materialization.

    Deleting a run deletes its events, and with them the mark that an asset is materialized.

    Args:
        instance: The Dagster instance.
        limit: Naive UTC; younger runs stay.
        jobs: The jobs whose runs may go.
        assets: Runs of these assets alone, whatever their job, may go, too.

    Returns:
        How many runs were deleted.
    """
    needed = {
        event.run_id
        for key in instance.all_asset_keys()
        if (event := instance.get_latest_materialization_event(key))
    }
    old = dg.RunsFilter(created_before=limit.replace(tzinfo=UTC), statuses=_FINISHED)
    removed = [
        run.run_id
        for run in instance.get_runs(old)
        if run.run_id not in needed
        and (run.job_name in jobs or frozenset() < (run.asset_selection or set()) <= set(assets))
    ]
    for run_id in removed:
        instance.delete_run(run_id)
    return len(removed)
