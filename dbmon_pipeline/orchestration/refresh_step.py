"""The one step of a refresh: the phases of the core in their order, and an event for each result.

No event says more than is published: tables materialize after the swap. A failed blocking check
ends the step before it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import dagster as dg
from pydantic import Field

from dbmon_pipeline.core.changes.request import RefreshRequest, parse_request
from dbmon_pipeline.core.common.errors import SourceError
from dbmon_pipeline.core.refresh.refresh import Refresh, open_refresh
from dbmon_pipeline.core.refresh.worker import take_worker
from dbmon_pipeline.core.source.reader_client import ReaderProcess
from dbmon_pipeline.orchestration.checks import Checks
from dbmon_pipeline.orchestration.live_runs import live_run, report_dead_runs
from dbmon_pipeline.orchestration.namespace import Project
from dbmon_pipeline.orchestration.refresh_events import observation, published_results
from dbmon_pipeline.orchestration.textfile import write_textfile

Results = Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]


class RefreshConfig(dg.Config):
    """Run config of a refresh, as the launchpad offers it; nothing has to be given."""

    as_of: str | None = Field(
        None, description="Refresh as if it were this time: ISO 8601, in the past."
    )
    since: str | None = Field(
        None, description="Read this day (YYYY-MM-DD) and those after it again, changed or not."
    )
    until: str | None = Field(None, description="The last day to read again; today if left out.")
    full: bool = Field(False, description="Compare the whole history with the source.")
    compare_days: int | None = Field(
        None, description="How many days to compare closely; the usual hours if left out."
    )
    accept_shrink: bool = Field(
        False, description="Delete here what the source no longer holds, however much that is."
    )

    def request(self) -> RefreshRequest:
        """Read the values as a request.

        Raises:
            ConfigError: One of them cannot be understood.
        """
        return parse_request(
            as_of=self.as_of,
            since=self.since,
            until=self.until,
            full=self.full,
            compare_days=self.compare_days,
            accept_shrink=self.accept_shrink,
        )


def refresh_step(
    context: dg.AssetExecutionContext, config: RefreshConfig, project: Project
) -> Results:
    """Find what changed in the source, roll it up, check it and publish it.

    Raises:
        dg.Failure: The source cannot be read, the home cannot be written or is in use, or a
            blocking check failed. What was published stays.
    """
    settings, run_id = project.settings, context.run.run_id
    home, wait = settings.home, settings.config.home.lock_wait_seconds
    with live_run(home, run_id):
        config.request()  # before the wait for the lock
        with (
            closing(take_worker(home)) as worker,
            worker.lock.held(f"run {run_id[:8]}", wait_seconds=wait),
        ):
            report_dead_runs(context.instance, home, project.namespace, run_id)
            # The present instant is that at which nobody else publishes any more.
            with open_refresh(settings, config.request()) as refresh:
                yield from _checked(context, refresh, worker.reader, Checks(project))
                started = time.perf_counter()
                publication = refresh.publish()
                context.log.info(
                    f"published generation {publication.manifest.generation} in"
                    f" {time.perf_counter() - started:.2f} s:"
                    f" {publication.files_written} files written,"
                    f" {publication.files_linked} linked"
                )
                yield from published_results(project, refresh, publication)
        write_textfile(settings)


def _checked(
    context: dg.AssetExecutionContext, refresh: Refresh, reader: ReaderProcess, checks: Checks
) -> Results:
    """Read and judge; every check has a result then.

    Raises:
        SourceError: The source cannot be read.
        dg.Failure: A blocking check failed.
    """
    try:
        rolled_up = refresh.read(reader, context.log.info)
    except SourceError as error:
        yield from checks.refused(error)
        raise
    phases = ", ".join(f"{phase} {seconds:.2f} s" for phase, seconds in rolled_up.seconds.items())
    context.log.info(f"read {rolled_up.changes.rows_read:,} rows of the source: {phases}")
    context.log_event(observation(checks.project, rolled_up))
    for result in (*checks.of_source(rolled_up), checks.of_tables(rolled_up)):
        yield result
        if not result.passed and result.severity is dg.AssetCheckSeverity.ERROR:
            raise _blocked(result)
    started = time.perf_counter()
    verdicts = refresh.judge()
    context.log.info(f"judged {len(verdicts)} scopes in {time.perf_counter() - started:.2f} s")
    yield from checks.of_quality(rolled_up)
    yield from checks.of_rules(verdicts)


def _blocked(result: dg.AssetCheckResult) -> dg.Failure:
    asset = result.asset_key.to_user_string() if result.asset_key else ""
    differences = result.metadata.get("differences")
    return dg.Failure(
        description=f"the check {result.check_name} of {asset} failed, so nothing was published",
        metadata={"differences": differences} if differences else {},
        allow_retries=False,
    )
