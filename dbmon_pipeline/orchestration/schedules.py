"""Schedules: every hour, every day, and the retention at night."""

import dagster as dg

from dbmon_pipeline.core.errors import HomeBusyError, SourceError
from dbmon_pipeline.core.instants import utc_now
from dbmon_pipeline.core.plan import Plan, Scope
from dbmon_pipeline.core.settings import Settings
from dbmon_pipeline.orchestration.jobs import refresh, retention
from dbmon_pipeline.orchestration.planning import planned, run_requests

_WAIT_SECONDS = 20.0
"""How long a tick waits for a refresh under way; a tick may take 60 s in all."""


def _refresh_requests(
    context: dg.ScheduleEvaluationContext, scope: Scope, schedule: str
) -> list[dg.RunRequest]:
    """Runs for the days that have changed, or for the open day.

    While a refresh is under way a run is asked for all the same: it will wait its turn. So it is
    when the source cannot be read: a run that fails has a check and an event, a tick has not.
    """
    as_of = utc_now()
    try:
        found = planned(
            Settings.load(),
            context.instance,
            scope,
            as_of,
            who=f"the schedule {schedule}",
            wait_seconds=_WAIT_SECONDS,
        )
    except (HomeBusyError, SourceError):
        found = Plan((), is_unfinished=False, open_day=as_of.date())
    return run_requests(found, run_key=context.scheduled_execution_time.isoformat())


@dg.schedule(
    cron_schedule="5 * * * *",
    job=refresh,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="The open day and whatever else has changed in the last 48 hours.",
)
def hourly_refresh(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
    """Refresh what has changed lately; without a change, move on with time."""
    return _refresh_requests(context, Scope.RECENT, "hourly_refresh")


@dg.schedule(
    cron_schedule="15 0 * * *",
    job=refresh,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Compares all kept days with the source.",
)
def daily_refresh(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
    """Refresh whatever has changed in the kept days."""
    return _refresh_requests(context, Scope.KEPT, "daily_refresh")


nightly_retention = dg.ScheduleDefinition(
    name="retention",
    job=retention,
    cron_schedule="30 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Lets old raw rows, generations and runs go.",
)
