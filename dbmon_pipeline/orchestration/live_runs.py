"""Runs and their processes: errors become failures, and runs whose process died are reported."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from dbmon_pipeline.core.common.errors import DbmonError, SourceChangingError, SourceLockedError
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.home.locks import glance, is_alive, liveness_lock
from dbmon_pipeline.orchestration.namespace import JOBS, Namespace

GRACE_SECONDS = 60
"""Seconds that a run may be started without having shown that it lives."""
PROBLEM, REMEDY = "problem", "remedy"
"""Metadata keys under which a failure describes the error that caused it."""

_STARTED = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_TRANSIENT = (SourceLockedError, SourceChangingError)


@contextmanager
def live_run(home: Home, run_id: str) -> Iterator[None]:
    """Show that a run lives, and fail its step for an error of the core, without a traceback.

    Raises:
        dg.Failure: With the error's message and remedy.
    """
    try:
        with liveness_lock(home.live_runs / run_id):
            yield
    except DbmonError as error:
        raise dg.Failure(
            description=str(error),
            metadata={PROBLEM: error.message, REMEDY: error.remedy},
            allow_retries=isinstance(error, _TRANSIENT),
        ) from None


def started_runs(instance: dg.DagsterInstance) -> list[dg.RunRecord]:
    """List the runs that Dagster takes for being under way."""
    return [*instance.get_run_records(dg.RunsFilter(statuses=_STARTED))]


def has_process(home: Home, record: dg.RunRecord) -> bool:
    """Tell whether a started run has a process, and leave everything as it is."""
    sign = home.live_runs / record.dagster_run.run_id
    with glance(sign) as is_held:
        return is_held or (not sign.exists() and _is_young(record))


def report_dead_runs(
    instance: dg.DagsterInstance, home: Home, namespace: Namespace, this_run: str
) -> None:
    """Report runs as failed that are started but whose process is gone, killed for instance.

    For whoever holds the home's lock; a run that waits for the lock is not dead. A run of another
    job counts only if it worked in this home: the instance may belong to somebody else.
    """
    jobs = namespace.all_of(JOBS)
    for record in started_runs(instance):
        run = record.dagster_run
        sign = home.live_runs / run.run_id
        is_suspect = sign.exists() or (run.job_name in jobs and not _is_young(record))
        if run.run_id != this_run and is_suspect and not is_alive(sign):
            instance.report_run_failed(
                run, "Its process ended without a word; the next refresh heals."
            )


def _is_young(record: dg.RunRecord) -> bool:
    return time.time() - (record.start_time or 0) < GRACE_SECONDS
