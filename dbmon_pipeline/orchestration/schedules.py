"""Schedules: refreshes, the retention at night, and the reports in the morning."""

from datetime import timedelta

import dagster as dg

from dbmon_pipeline.core.alerting.check_history import published_since
from dbmon_pipeline.core.common.errors import HomeBusyError, NotPublishedError, SourceError
from dbmon_pipeline.core.common.instants import utc_now
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.warehouse.plan import Plan, Scope
from dbmon_pipeline.orchestration.jobs import daily_reporting, refresh, retention, weekly_reporting
from dbmon_pipeline.orchestration.planning import planned, run_requests

_HOLDS = timedelta(minutes=4)
_HOLDS_IF_CALM = timedelta(minutes=14)
"""How long verdicts hold without a new look. Each run writes half a megabyte of events."""
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
    cron_schedule="*/5 * * * *",
    job=refresh,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Judges the alert rules again while something is wrong, else every quarter of an"
    " hour, so that a silence is noticed; what changes in the source is judged anyway.",
)
def health_check(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
    """Refresh the open day if that may change a verdict."""
    settings, now = Settings.load(), utc_now()
    try:
        with Published(settings.home) as published:
            as_of = published.manifest.as_of
            judged = published_since(published, as_of - timedelta.resolution)
    except NotPublishedError:
        return _refresh_requests(context, Scope.RECENT, "health_check")
    is_calm = all(one.verdict.badness <= 0 for one in judged)
    if now - as_of < (_HOLDS_IF_CALM if is_calm else _HOLDS):
        return dg.SkipReason("the last verdicts still hold")
    return _refresh_requests(context, Scope.RECENT, "health_check")


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

_TIME_ZONE = Settings.load().config.report.time_zone

daily_report = dg.ScheduleDefinition(
    name="daily_report",
    job=daily_reporting,
    cron_schedule="0 9 * * *",
    execution_timezone=_TIME_ZONE,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="The report of the last 24 hours, at 09:00 in the time zone of the reports.",
)

weekly_report = dg.ScheduleDefinition(
    name="weekly_report",
    job=weekly_reporting,
    cron_schedule="0 10 * * 0",
    execution_timezone=_TIME_ZONE,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="The report of the last 7 days, on Sunday at 10:00 in the time zone of the"
    " reports.",
)
