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
    config = project.settings.config
    days, zone = config.source.compare_days, config.report.time_zone
    closely = {"ops": {project.namespace.of(REFRESH_OP): {"config": {"compare_days": days}}}}
    return [
        _schedule(
            project,
            "5 * * * *",
            HOURLY_REFRESH,
            jobs.refresh,
            "Changes of the last 48 hours; without a change, time moves on.",
        ),
        _schedule(
            project,
            "15 0 * * *",
            DAILY_REFRESH,
            jobs.refresh,
            f"Changes of the last {days} days.",
            run_config=closely,
        ),
        _schedule(
            project,
            # At five minutes past the hour the hourly refresh does it.
            "0,10-55/5 * * * *",
            HEALTH_CHECK,
            jobs.refresh,
            "Judges the alert rules again while something is wrong, else every quarter of an hour,"
            " so that missing executions are noticed; changes of the source are judged anyway.",
            reason_to_skip=_reason_to_skip,
        ),
        _schedule(project, "30 3 * * *", RETENTION, jobs.retention, "Removes old runs."),
        _schedule(
            project,
            "0 9 * * *",
            "daily_report",
            jobs.daily_reporting,
            "The report of the last 24 hours, at 09:00 in the time zone of the reports.",
            zone,
        ),
        _schedule(
            project,
            "0 10 * * 0",
            "weekly_report",
            jobs.weekly_reporting,
            "The report of the last 7 days, on Sunday at 10:00 in the time zone of the reports.",
            zone,
        ),
    ]


def _schedule(
    project: Project,
    cron: str,
    name: str,
    job: Any,  # noqa: ANN401 - Dagster's type of a job that is not resolved is private
    description: str,
    zone: str = "UTC",
    *,
    run_config: Mapping[str, Any] | None = None,
    reason_to_skip: Callable[[Settings], str | None] = lambda _: None,
) -> dg.ScheduleDefinition:
    """Define a schedule that asks for a run, unless there is a reason to skip it.

    A refresh is asked for while another one is under way, too: it will wait its turn. So it is when
    the source cannot be read: a run that fails has an event, a tick has not.
    """

    def evaluate(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        reason, instant = reason_to_skip(project.settings), context.scheduled_execution_time
        run = dg.RunRequest(run_key=instant.isoformat(), run_config=run_config or {})
        return dg.SkipReason(reason) if reason else run

    return dg.ScheduleDefinition(
        name=project.namespace.of(name),
        job=job,
        cron_schedule=cron,
        execution_timezone=zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=description,
        execution_fn=evaluate,
    )


def _reason_to_skip(settings: Settings) -> str | None:
    """Tell why the rules need not be judged again: what they said last still holds."""
    try:
        with Published(settings.home) as published:
            as_of = published.manifest.as_of
            verdicts = published_since(published, as_of - timedelta.resolution)
    except NotPublishedError:
        return None
    is_calm = all(verdict.verdict.badness <= 0 for verdict in verdicts)
    still_holds = utc_now() - as_of < (_HOLDS_IF_CALM if is_calm else _HOLDS)
    return "the last verdicts still hold" if still_holds else None
