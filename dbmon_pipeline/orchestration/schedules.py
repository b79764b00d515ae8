"""Schedules: refreshes, the retention at night, and the reports in the morning."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import dagster as dg

from dbmon_pipeline.core.alerting.check_history import published_since
from dbmon_pipeline.core.common.errors import NotPublishedError
from dbmon_pipeline.core.common.instants import utc_now
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.orchestration.jobs import Jobs
from dbmon_pipeline.orchestration.namespace import (
    DAILY_REFRESH,
    HEALTH_CHECK,
    HOURLY_REFRESH,
    REFRESH_OP,
    RETENTION,
    Project,
)

_HOLDS = timedelta(minutes=4)
_HOLDS_IF_CALM = timedelta(minutes=14)
"""Time that verdicts hold without a new look."""


def define_schedules(project: Project, jobs: Jobs) -> list[dg.ScheduleDefinition]:
    """Define the schedules; all are on from the start, in the place of cron."""
    name, zone = project.namespace.of, project.settings.config.report.time_zone

    def at(cron: str, base: str, job: Any, description: str, zone: str) -> dg.ScheduleDefinition:  # noqa: ANN401
        return dg.ScheduleDefinition(
            name=name(base),
            job=job,
            cron_schedule=cron,
            execution_timezone=zone,
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description=description,
        )

    return [
        _hourly_refresh(project, jobs),
        _daily_refresh(project, jobs),
        _health_check(project, jobs),
        at("30 3 * * *", RETENTION, jobs.retention, "Removes old runs.", "UTC"),
        at(
            "0 9 * * *",
            "daily_report",
            jobs.daily_reporting,
            "The report of the last 24 hours, at 09:00 in the time zone of the reports.",
            zone,
        ),
        at(
            "0 10 * * 0",
            "weekly_report",
            jobs.weekly_reporting,
            "The report of the last 7 days, on Sunday at 10:00 in the time zone of the reports.",
            zone,
        ),
    ]


Evaluation = Callable[[dg.ScheduleEvaluationContext], dg.RunRequest | dg.SkipReason]


def _refreshing(
    project: Project, jobs: Jobs, base: str, cron: str, description: str, evaluate: Evaluation
) -> dg.ScheduleDefinition:
    """A schedule of refreshes.

    While another one is under way a run is asked for all the same: it will wait its turn. So it is
    when the source cannot be read: a run that fails has an event, a tick has not.
    """
    return dg.ScheduleDefinition(
        name=project.namespace.of(base),
        job=jobs.refresh,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=description,
        execution_fn=evaluate,
    )


def _request(
    context: dg.ScheduleEvaluationContext, run_config: Mapping[str, Any] | None = None
) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=context.scheduled_execution_time.isoformat(), run_config=run_config or {}
    )


def _hourly_refresh(project: Project, jobs: Jobs) -> dg.ScheduleDefinition:
    description = "Whatever has changed in the last 48 hours; without a change, time moves on."
    return _refreshing(project, jobs, HOURLY_REFRESH, "5 * * * *", description, _request)


def _daily_refresh(project: Project, jobs: Jobs) -> dg.ScheduleDefinition:
    days = project.settings.config.source.compare_days
    config = {"ops": {project.namespace.of(REFRESH_OP): {"config": {"compare_days": days}}}}

    def evaluate(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        return _request(context, config)

    description = f"Whatever has changed in the last {days} days."
    return _refreshing(project, jobs, DAILY_REFRESH, "15 0 * * *", description, evaluate)


def _health_check(project: Project, jobs: Jobs) -> dg.ScheduleDefinition:
    def evaluate(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if _verdicts_hold(project.settings):
            return dg.SkipReason("the last verdicts still hold")
        return _request(context)

    description = (
        "Judges the alert rules again while something is wrong, else every quarter of an hour, so"
        " that missing executions are noticed; changes of the source are judged anyway."
    )
    # At five minutes past the hour the hourly refresh does it.
    cron = "0,10-55/5 * * * *"
    return _refreshing(project, jobs, HEALTH_CHECK, cron, description, evaluate)


def _verdicts_hold(settings: Settings) -> bool:
    try:
        with Published(settings.home) as published:
            as_of = published.manifest.as_of
            verdicts = published_since(published, as_of - timedelta.resolution)
    except NotPublishedError:
        return False
    is_calm = all(verdict.verdict.badness <= 0 for verdict in verdicts)
    return utc_now() - as_of < (_HOLDS_IF_CALM if is_calm else _HOLDS)
