"""The Dagster instance of a home, and a refresh that is run in this process against it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import dagster as dg
from sqlalchemy.exc import DBAPIError

from dbmon_pipeline.core.common.atomic_files import write_whole
from dbmon_pipeline.core.common.errors import HomeError, RefreshError
from dbmon_pipeline.core.common.instants import iso
from dbmon_pipeline.core.common.shipped import shipped
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.orchestration.assets import SCHEMA_CONTRACT, SOURCE_SHRANK
from dbmon_pipeline.orchestration.partitions import range_tags

LOCATION = "dbmon_pipeline"
"""The code location's name, in ``workspace.yaml`` too."""

_REPOSITORY_TAG = ".dagster/repository"
"""Without it a run does not show among its job's runs."""


def prepare(home: Home) -> Path:
    """Give a home its Dagster instance, as the shipped configuration has it.

    Returns:
        The folder of the instance, for ``DAGSTER_HOME``.

    Raises:
        HomeError: It cannot be written.
    """
    wanted = shipped("config", "dagster.yaml").read_text("utf-8")
    path = home.dagster / "dagster.yaml"
    try:
        if not path.exists() or path.read_text("utf-8") != wanted:
            write_whole(path, wanted)
    except OSError as error:
        raise HomeError(
            f"{home.path} cannot be written ({error.strerror})",
            remedy="name a folder that you may write with --home or DBMON_HOME, and check that its"
            " disk has space",
        ) from None
    return home.dagster


@contextmanager
def opened(home: Home) -> Iterator[dg.DagsterInstance]:
    """The instance of a home.

    Raises:
        HomeError: It cannot be written.
    """
    folder = prepare(home)
    os.environ["DAGSTER_HOME"] = str(folder)
    try:
        with dg.DagsterInstance.from_config(str(folder)) as instance:
            yield instance
    except DBAPIError as error:
        raise HomeError(
            f"{folder} cannot be written ({error.orig})",
            remedy="name a folder that you may write with --home or DBMON_HOME, and check that its"
            " disk has space",
        ) from error


@dataclass(frozen=True)
class RefreshRun:
    """What a run in this process did.

    Attributes:
        rows_extracted: How many rows were new or had changed.
        warnings: The checks that warn, one line each.
    """

    rows_extracted: int
    warnings: tuple[str, ...]


def run_refresh(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    stretch: tuple[date, date],
    as_of: datetime,
    *,
    accept_shrink: bool = False,
) -> RefreshRun:
    """Run the refresh of a stretch of days in this process.

    Raises:
        RefreshError: The run failed; the message is that of its first failed step or check.
    """
    result = job.execute_in_process(
        instance=instance,
        tags={**range_tags(stretch), _REPOSITORY_TAG: f"__repository__@{LOCATION}"},
        run_config={
            "ops": {
                "executions": {"config": {"as_of": iso(as_of), "accept_shrink": accept_shrink}}
            },
            # The caller tells what failed, in one line; the console would show a traceback.
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
        raise_on_error=False,
    )
    if not result.success:
        raise RefreshError(_why(result), remedy=f"see run {result.run_id} in dbmon dev")
    copied = result.asset_materializations_for_node("executions")[0].metadata["rows_extracted"]
    failed = (check for check in result.get_asset_check_evaluations() if not check.passed)
    return RefreshRun(int(str(copied.value)), tuple(_warning(check) for check in failed))


def _warning(check: dg.AssetCheckEvaluation) -> str:
    if check.description:
        return check.description
    counts = (
        f"{name} {entry.value}"
        for name, entry in check.metadata.items()
        if isinstance(entry.value, int) and entry.value and name != "executions"
    )
    return f"{check.check_name} of {check.asset_key.to_user_string()}: {', '.join(counts)}"


def _why(result: dg.ExecuteInProcessResult) -> str:
    """The first thing that went wrong, in the words of the core where it has some."""
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            if (
                check.blocking
                and not check.passed
                and check.check_name not in (SCHEMA_CONTRACT, SOURCE_SHRANK)
            ):
                return f"the check {check.check_name} of {check.asset_key.to_user_string()} failed"
        elif event.is_step_failure or event.is_run_failure:
            if event.is_step_failure:
                told = event.step_failure_data.user_failure_data
                if told and told.description:
                    return told.description
                error = event.step_failure_data.error
            else:
                error = event.job_failure_data.error
            while error and error.cause:
                error = error.cause
            return error.message if error else "the run failed"
    return "the run failed"
