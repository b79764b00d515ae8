"""Sensors: changes of the source ask for a refresh, and evaluations become notifications."""

import hashlib
import os
from datetime import timedelta
from time import time

import dagster as dg

from dbmon_pipeline.core.common.errors import NotificationError, NotPublishedError, SourceError
from dbmon_pipeline.core.common.instants import utc_now
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.incidents.observe import observe_published
from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.source.file_check import signature
from dbmon_pipeline.orchestration.jobs import Jobs
from dbmon_pipeline.orchestration.live_runs import has_process, started_runs
from dbmon_pipeline.orchestration.namespace import ALERT_SENSOR, REFRESH, SOURCE_SENSOR, Project
from dbmon_pipeline.orchestration.own_health import findings, freshness
from dbmon_pipeline.orchestration.textfile import write_textfile
from dbmon_pipeline.outputs.notify.deliver import deliver
from dbmon_pipeline.outputs.notify.heartbeat import send_heartbeat
from dbmon_pipeline.outputs.notify.targets import targets

_WAITING = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
]
_INTERVAL_SECONDS = 18
"""The daemon looks at its sensors every five seconds, so a tick comes every twenty."""
_BETWEEN_RUNS_SECONDS = 85
"""A run costs some CPU seconds, most of them for Dagster's start. It begins at most 105 s (with a
tick) after the one before, and some seconds later its figures are published: so those that are read
are at most two minutes old."""
_ALERT_INTERVAL_SECONDS = 30
_HEARTBEAT_SENT = "generation of the last sign of life"


def define_sensors(project: Project, jobs: Jobs) -> list[dg.SensorDefinition]:
    """Define the sensors; both are on from the start."""

    @dg.sensor(
        name=project.namespace.of(SOURCE_SENSOR),
        job=jobs.refresh,
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a refresh when the source was written: its figures are at most two"
        " minutes old.",
    )
    def source_changes_sensor(
        context: dg.SensorEvaluationContext,
    ) -> dg.SensorResult | dg.SkipReason:
        """Ask for a run if the source file is not as it was when the last one was asked for.

        The cursor is the signature of that file state. The source is not opened: the run compares.
        """
        try:
            now = signature(project.settings.source)
        except SourceError as error:
            return dg.SkipReason(str(error))
        if now == context.cursor:
            return dg.SkipReason("the source file has not changed")
        reason = _reason_to_wait(context.instance, project)
        if reason:
            return dg.SkipReason(reason)
        key = hashlib.sha256(now.encode()).hexdigest()[:16]
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=key)], cursor=now)

    @dg.sensor(
        name=project.namespace.of(ALERT_SENSOR),
        minimum_interval_seconds=_ALERT_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Opens and resolves incidents by what the alert rules said and by how the"
        " pipeline itself is, sends notifications, and gives the sign of life.",
    )
    def alert_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        """Take in the evaluations that are new, then send the notifications.

        It asks for no run, so every tick is a skip that says what was done.
        """
        return _notify(context, project)

    return [source_changes_sensor, alert_sensor]


def _reason_to_wait(instance: dg.DagsterInstance, project: Project) -> str | None:
    """Tell why no refresh is to be asked for now, although the source has changed."""
    job = project.namespace.of(REFRESH)
    waiting = dg.RunsFilter(job_name=job, statuses=_WAITING)
    if instance.get_runs(waiting, limit=1):
        return "a refresh is about to start"
    for record in started_runs(instance):
        if record.dagster_run.job_name == job and has_process(project.settings.home, record):
            return "a refresh is under way"
    last = instance.get_run_records(dg.RunsFilter(job_name=job), limit=1)
    if last and time() - last[0].create_timestamp.timestamp() < _BETWEEN_RUNS_SECONDS:
        return f"the last refresh began less than {_BETWEEN_RUNS_SECONDS} s ago"
    return None


def _notify(context: dg.SensorEvaluationContext, project: Project) -> dg.SkipReason:
    settings, at = project.settings, utc_now()
    notifications = settings.config.notifications
    with Incidents(settings.home.incidents, notifications=notifications) as incidents:
        own = [*findings(context.instance, project.namespace)]
        changed = incidents.observe(own, at, complete=False)
        try:
            with Published(settings.home) as published:
                changed += observe_published(incidents, published, settings.config)
                age = [*freshness(published, settings.config, at)]
                changed += incidents.observe(age, at, complete=False)
                also = _send_heartbeat(incidents, published, settings)
        except NotPublishedError as error:
            also = f"; {error}"
        delivery = deliver(incidents, targets(notifications, os.environ), at, utc_now)
        incidents.forget(at - timedelta(days=settings.config.keep.dagster_runs_days))
    if changed:
        write_textfile(settings)
    counts = f"{delivery.sent} notifications sent, {delivery.failed} not"
    summary = f"{len(changed)} incidents changed{also}; {counts}"
    for line in delivery.errors:
        context.log.warning(line)
    return dg.SkipReason("; ".join((summary, *delivery.errors)))


def _send_heartbeat(incidents: Incidents, published: Published, settings: Settings) -> str:
    """Give it once for each generation; the next tick tries again if it failed."""
    generation = str(published.manifest.generation)
    if incidents.remembered(_HEARTBEAT_SENT) == generation:
        return ""
    try:
        url = settings.config.notifications.heartbeat_url
        send_heartbeat(settings.home.heartbeat, url, published.manifest.published_at)
    except NotificationError as error:
        return f"; {error}"
    incidents.remember(_HEARTBEAT_SENT, generation)
    return ""
