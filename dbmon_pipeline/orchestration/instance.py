"""The Dagster instance of a home, and a refresh that is run in this process against it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import dagster as dg
from sqlalchemy.exc import DBAPIError

from dbmon_pipeline.core.common.atomic_files import write_whole
from dbmon_pipeline.core.common.errors import HomeError, RefreshError
from dbmon_pipeline.core.common.instants import parse_instant
from dbmon_pipeline.core.common.shipped import shipped
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.orchestration.assets import PUBLICATION
from dbmon_pipeline.orchestration.live_runs import PROBLEM, REMEDY
from dbmon_pipeline.orchestration.namespace import REFRESH_OP

LOCATION = "dbmon_pipeline"
"""The code location's name, in ``workspace.yaml`` too."""

_PUBLICATION = dg.AssetKey(PUBLICATION)
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
def open_instance(home: Home) -> Iterator[dg.DagsterInstance]:
    """Open the Dagster instance of a home.

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
    """Result of a refresh in this process.

    Attributes:
        generation: The number of what it published.
        rows_read: How many rows were new or had changed, with those of their hours.
        data_through: Up to when the source was read, naive UTC.
        warnings: The checks that warn, one line each.
    """

    generation: int
    rows_read: int
    data_through: datetime
    warnings: tuple[str, ...]


def run_refresh(
    job: dg.JobDefinition, instance: dg.DagsterInstance, **config: object
) -> RefreshRun:
    """Run a refresh in this process.

    Args:
        job: The refresh of the default namespace.
        instance: The instance of the home.
        config: The run config of its step; what is None is left out.

    Raises:
        RefreshError: The run failed; the message is that of its first failed step or check.
    """
    given = {name: value for name, value in config.items() if value is not None}
    result = job.execute_in_process(
        instance=instance,
        tags={_REPOSITORY_TAG: f"__repository__@{LOCATION}"},
        run_config={
            "ops": {REFRESH_OP: {"config": given}},
            # The caller tells what failed, in one line; the console would show a traceback.
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
        raise_on_error=False,
    )
    if not result.success:
        raise _refresh_error(result)
    (publication,) = (
        {name: entry.value for name, entry in made.metadata.items()}
        for event in result.get_asset_materialization_events()
        if (made := event.step_materialization_data.materialization).asset_key == _PUBLICATION
    )
    failed = (check for check in result.get_asset_check_evaluations() if not check.passed)
    return RefreshRun(
        generation=int(str(publication["generation"])),
        rows_read=int(str(publication["rows_read"])),
        data_through=parse_instant(str(publication["data_through"])),
        warnings=tuple(map(_warning, failed)),
    )


def _warning(check: dg.AssetCheckEvaluation) -> str:
    if check.description:
        return check.description
    counts = (
        f"{name} {entry.value}"
        for name, entry in check.metadata.items()
        if isinstance(entry.value, int) and entry.value and name != "executions"
    )
    return f"{check.check_name} of {check.asset_key.to_user_string()}: {', '.join(counts)}"


def _refresh_error(result: dg.ExecuteInProcessResult) -> RefreshError:
    """Name the first thing that went wrong, in the words of the core where it has some."""
    look, error = f"see run {result.run_id} in dbmon dev", None
    for event in result.all_events:
        if event.is_step_failure:
            told, error = event.step_failure_data.user_failure_data, event.step_failure_data.error
            if told and PROBLEM in told.metadata:
                problem, remedy = (str(told.metadata[name].value) for name in (PROBLEM, REMEDY))
                return RefreshError(problem, remedy=remedy)
            if told and told.description:
                return RefreshError(told.description, remedy=look)
            break
        if event.is_run_failure:
            error = event.job_failure_data.error
            break
    while error and error.cause:
        error = error.cause
    return RefreshError(error.message if error else "the run failed", remedy=look)
