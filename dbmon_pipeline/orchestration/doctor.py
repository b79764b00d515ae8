"""``dbmon doctor``, the part that needs Dagster: the instance, the daemon, runs and switches."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import dagster as dg

from dbmon_pipeline.core.common.shipped import shipped
from dbmon_pipeline.core.doctor.finding import (
    Finding,
    Level,
    Outcome,
    ok,
    problem,
    run_check,
    warning,
)
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.orchestration.live_runs import has_process, started_runs
from dbmon_pipeline.orchestration.namespace import Namespace
from dbmon_pipeline.orchestration.own_health import findings

_SILENT_SECONDS = 300
"""Greatest age of a daemon's last sign of life: they give one every 30 s, but a tick may take
a minute and more."""
_FILES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")
"""An instance has them once something ran; opening one that has not would make them."""
_START_DAEMON = "start dbmon dev, or the daemon as deploy/README.md has it"
_STOPPED = "STOPPED"
_WAITING = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED]


def examine(home: Home, definitions: Callable[[], dg.Definitions]) -> Iterator[Finding]:
    """Look at Dagster's part of a home; one that has none yet is not made.

    Args:
        home: The home.
        definitions: Loads the code location.
    """
    code = run_check("dagster code", partial(_code, definitions))
    yield from code
    if not all((home.dagster / file).is_file() for file in _FILES):
        missing = warning(
            f"there is no Dagster instance in {home.dagster} yet",
            f"run dbmon refresh, or {_START_DAEMON}",
        )
        yield from run_check("dagster", lambda: missing)
        return
    with ExitStack() as stack:
        try:
            opened = dg.DagsterInstance.from_config(str(home.dagster))
            instance = stack.enter_context(opened)
            instance.get_runs_count()
        except Exception as error:
            yield from run_check("dagster", partial(_not_opened, home, error))
            return
        yield from run_check("dagster", partial(_instance, home, instance))
        yield from run_check("daemon", partial(_daemon, instance))
        yield from run_check("runs", partial(_runs, home, instance))
        if code[0].level is Level.OK:
            yield from run_check("schedules", partial(_switches, definitions(), instance))


def _code(definitions: Callable[[], dg.Definitions]) -> Outcome:
    """Check that the daemon can load the code that it is to run."""
    loaded = definitions()
    return ok(f"the code location loads, with {len(list(loaded.jobs or ()))} jobs")


def _not_opened(home: Home, error: Exception) -> Outcome:
    why = getattr(error, "orig", None) or error
    problem_seen = f"{home.dagster} cannot be opened ({type(why).__name__} {why})"
    if "locked" in problem_seen:
        return warning(problem_seen, "repeat; if it stays, end the process that holds it")
    return problem(
        problem_seen,
        "restore it from a backup, or move it away and run dbmon refresh: it has the history of"
        " runs, and no figures",
    )


def _instance(home: Home, instance: dg.DagsterInstance) -> Outcome:
    """Check that the instance is configured as this version ships it."""
    path, wanted = home.dagster / "dagster.yaml", shipped("config", "dagster.yaml")
    if not path.is_file() or path.read_text("utf-8") != wanted.read_text("utf-8"):
        return warning(
            f"{path} is not the one that this version ships",
            "run dbmon prepare, then start the daemon again",
        )
    return ok(f"{home.dagster} opens; runs: {instance.get_runs_count()}")


def _daemon(instance: dg.DagsterInstance) -> Outcome:
    """Check that the daemon gives signs of life, and without errors."""
    signs = {
        kind: sign
        for kind, sign in instance.get_daemon_heartbeats().items()
        if kind in instance.get_required_daemon_types()
    }
    if not signs:
        return warning("no daemon has ever run here, so nothing is scheduled", _START_DAEMON)
    ages = {kind: time.time() - sign.timestamp for kind, sign in signs.items()}
    silent = sorted(kind for kind, age in ages.items() if age > _SILENT_SECONDS)
    if silent:
        who = "the daemon" if len(silent) == len(ages) else ", ".join(silent)
        minutes = max(ages.values()) / 60
        return problem(
            f"no sign of life of {who} for up to {minutes:,.0f} minutes",
            f"{_START_DAEMON}; if it has just been started, repeat in a minute",
        )
    errors = [error.message for sign in signs.values() for error in sign.errors or ()]
    if errors:
        return warning(f"the daemon lives, and reports {errors[0]}", "look at Deployment in the UI")
    return ok(f"the last sign of life is {min(ages.values()):.0f} seconds old")


def _runs(home: Home, instance: dg.DagsterInstance) -> Outcome:
    """Check that started runs have a process, and how the last ones ended."""
    started = started_runs(instance)
    orphans = [record.dagster_run.run_id for record in started if not has_process(home, record)]
    if orphans:
        return warning(
            f"{len(orphans)} runs are started, but have no process any more: {orphans[0]}",
            "run dbmon refresh, which reports them as failed and continues their work",
        )
    bad = [finding.summary for finding in findings(instance, Namespace()) if finding.severity]
    if bad:
        return warning("; ".join(bad), "look at why in the UI (dbmon dev)")
    waiting = instance.get_runs_count(dg.RunsFilter(statuses=_WAITING))
    return ok(f"{len(started)} under way, {waiting} waiting, the last of each job went well")


def _switches(loaded: dg.Definitions, instance: dg.DagsterInstance) -> Outcome:
    """Check that the schedules and sensors are on."""
    names = {switch.name for switch in (*(loaded.schedules or ()), *(loaded.sensors or ()))}
    off = sorted(
        state.name
        for state in instance.all_instigator_state()
        if state.name in names and state.status.value == _STOPPED
    )
    if off:
        return warning(f"turned off: {', '.join(off)}", "turn them on in the UI, under Automation")
    return ok(f"{len(names)} schedules and sensors are on")
