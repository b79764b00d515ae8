"""``dbmon doctor``: is everything in order, and if not, what is to be done."""

import logging
import os
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from typing import Annotated

import typer

from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.doctor.examine import examine, load_settings
from dbmon_pipeline.core.doctor.finding import Finding, Level, Outcome, ok, problem, run_check
from dbmon_pipeline.faces.cli.options import HomeOption, SourceOption
from dbmon_pipeline.faces.cli.output import ExitCode, print_json, print_result

_EXIT = {
    Level.OK: ExitCode.OK,
    Level.WARNING: ExitCode.WARNING,
    Level.PROBLEM: ExitCode.CRITICAL,
}


def doctor(
    source: SourceOption = None,
    home: HomeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> int:
    """Diagnose the installation. Read-only.

    Exits with 0 if all is well, 1 if something warns, and 2 if there is a problem.
    """
    settings, findings = load_settings(source, home, os.environ)
    findings += examine(settings)
    findings += run_check("targets", lambda: _targets(settings.config))
    findings += _dagster(settings)
    worst = max((finding.level for finding in findings), key=[*_EXIT].index)
    if as_json:
        report = {"status": worst, "findings": [asdict(finding) for finding in findings]}
        print_json(report)
    else:
        print_result("\n".join((*map(_line, findings), _summary(findings))))
    return _EXIT[worst]


def _targets(config: MonitoringConfig) -> Outcome:
    """Check that each target has its URL and its secret, which are not shown."""
    from dbmon_pipeline.outputs.notify.targets import InvalidTarget, targets

    built = targets(config.notifications, os.environ)
    wrong = [target.error for target in built.values() if isinstance(target, InvalidTarget)]
    if wrong:
        also = "; the daemon needs it in its environment, too"
        return problem("; ".join(error.message for error in wrong), f"{wrong[0].remedy}{also}")
    return ok(f"{', '.join(built) or 'nobody'} is told of incidents; URLs and secrets are set")


def _dagster(settings: Settings) -> Iterator[Finding]:
    """Examine the parts that need Dagster, if that can be imported."""
    os.environ["DBMON_SOURCE"] = str(settings.source)
    os.environ["DBMON_HOME"] = str(settings.home.path)
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    try:
        from dbmon_pipeline.orchestration.doctor import examine as examine_dagster
    except Exception as error:
        seen = f"Dagster cannot be loaded ({type(error).__name__} {error})"
        wrong = problem(seen, "install what requirements.lock names, or let make do it")
        yield from run_check("dagster", lambda: wrong)
        return
    yield from examine_dagster(
        settings.home, lambda: import_module("dbmon_pipeline.definitions").defs
    )


def _line(finding: Finding) -> str:
    remedy = f": {finding.remedy}" if finding.remedy else ""
    return f"{finding.level:<8} {finding.name:<15} {finding.seen}{remedy}"


def _summary(findings: list[Finding]) -> str:
    counts = {
        level: sum(finding.level is level for finding in findings) for level in reversed(Level)
    }
    listed = ", ".join(f"{count} {level}" for level, count in counts.items() if count)
    return f"{len(findings)} checks: {listed}"
