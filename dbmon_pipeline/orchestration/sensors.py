"""Sensors: the source is watched, so that late data heals; and what the checks said is told."""

import hashlib
import os
from datetime import timedelta

import dagster as dg

from dbmon_pipeline.core.common.errors import (
    HomeBusyError,
    NotificationError,
    NotPublishedError,
    SourceError,
)
from dbmon_pipeline.core.common.instants import utc_now
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.incidents.observe import observe_published
from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.source.file_check import signature
from dbmon_pipeline.core.warehouse.plan import Scope
from dbmon_pipeline.orchestration.jobs import refresh
from dbmon_pipeline.orchestration.own_health import findings, freshness
from dbmon_pipeline.orchestration.planning import planned, run_requests
from dbmon_pipeline.orchestration.textfile import write_textfile
from dbmon_pipeline.outputs.notify.deliver import deliver
from dbmon_pipeline.outputs.notify.heartbeat import beat
from dbmon_pipeline.outputs.notify.targets import targets

_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
]
_INTERVAL_SECONDS = 60
_ALERT_INTERVAL_SECONDS = 30
_BEATEN = "generation of the last sign of life"


@dg.sensor(
    job=refresh,
    minimum_interval_seconds=_INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for a run as soon as rows have changed, one for each stretch of days.",
)
def source_changes_sensor(
    context: dg.SensorEvaluationContext,
) -> dg.SensorResult | dg.SkipReason:
    """Look at the source when its file has changed since a look that found nothing to do.

    The cursor is the signature of that file state.
    """
    settings = Settings.load()
    waiting = dg.RunsFilter(job_name=refresh.name, statuses=_UNDER_WAY)
    if context.instance.get_runs(waiting, limit=1):
        return dg.SkipReason("a refresh is about to start")
    try:
        now = signature(settings.source)
        if now == context.cursor:
            return dg.SkipReason("the source file has not changed since it was last compared")
        found = planned(
            settings,
            context.instance,
            Scope.RECENT,
            utc_now(),
            who="source_changes_sensor",
            wait_seconds=0,
        )
    except (HomeBusyError, SourceError) as error:
        return dg.SkipReason(str(error))
    if not found.is_needed:
        context.update_cursor(now)
        return dg.SkipReason("nothing in the source differs from what was read")
    run_key = hashlib.sha256(now.encode()).hexdigest()[:16]
    return dg.SensorResult(run_requests=run_requests(found, run_key=run_key))


@dg.sensor(
    minimum_interval_seconds=_ALERT_INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Opens and ends incidents by what the alert rules said and by how the pipeline"
    " itself is, tells the targets of them, and gives the sign of life.",
)
def alert_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Take in the evaluations that are new, then send what is to be told.

    It asks for no run, so every tick is a skip that says what was done.
    """
    settings = Settings.load()
    at = utc_now()
    notifications = settings.config.notifications
    with Incidents(settings.home.incidents, notifications=notifications) as incidents:
        changed = incidents.observe(findings(context.instance), at, complete=False)
        try:
            with Published(settings.home) as published:
                changed += observe_published(incidents, published, settings.config)
                age = [*freshness(published, settings.config, at)]
                changed += incidents.observe(age, at, complete=False)
                also = _sign_of_life(incidents, published, settings)
        except NotPublishedError as error:
            also = f"; {error}"
        delivery = deliver(incidents, targets(notifications, os.environ), at, utc_now)
        incidents.forget(at - timedelta(days=settings.config.keep.dagster_runs_days))
    if changed:
        write_textfile(settings)
    counts = f"{delivery.sent} notifications sent, {delivery.failed} not"
    told = f"{len(changed)} incidents changed{also}; {counts}"
    for line in delivery.errors:
        context.log.warning(line)
    return dg.SkipReason("; ".join((told, *delivery.errors)))


def _sign_of_life(incidents: Incidents, published: Published, settings: Settings) -> str:
    """Give it once for each generation; the next tick tries again if it failed."""
    generation = str(published.manifest.generation)
    if incidents.remembered(_BEATEN) == generation:
        return ""
    try:
        url = settings.config.notifications.heartbeat_url
        beat(settings.home.heartbeat, url, published.manifest.published_at)
    except NotificationError as error:
        return f"; {error}"
    incidents.remember(_BEATEN, generation)
    return ""
