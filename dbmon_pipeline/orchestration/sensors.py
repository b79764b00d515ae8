"""Sensors: the source is watched, so that downtime and late data heal without anybody."""

import hashlib

import dagster as dg

from dbmon_pipeline.core.errors import HomeBusyError, SourceError
from dbmon_pipeline.core.instants import utc_now
from dbmon_pipeline.core.plan import Scope
from dbmon_pipeline.core.settings import Settings
from dbmon_pipeline.core.source import signature
from dbmon_pipeline.orchestration.jobs import refresh
from dbmon_pipeline.orchestration.planning import planned, run_requests

_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
]
_INTERVAL_SECONDS = 60


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
