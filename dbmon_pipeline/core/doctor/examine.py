"""Examination of ``dbmon doctor`` without Dagster: its checks, in the order of the flow.

Nothing is changed, and no lock of the source is taken but where it must be attached. What is broken
is a finding, never an error.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import metadata
from pathlib import Path

import duckdb
from packaging.requirements import Requirement

from dbmon_pipeline.core.common.errors import ConfigError
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.doctor import (
    check_home,
    check_incidents,
    check_ledger,
    check_published,
    check_source,
)
from dbmon_pipeline.core.doctor.finding import Finding, Outcome, ok, problem, run_check

_CHECKS: dict[str, Callable[[Settings], Outcome | None]] = {
    "source": check_source.source_file,
    "source schema": check_source.source_schema,
    "source of home": check_source.source_of_the_home,
    "home": check_home.folder,
    "home lock": check_home.lock,
    "leftovers": check_home.leftovers,
    "disk": check_home.disk,
    "published": check_published.current_generation,
    "ledger": check_ledger.compare_totals,
    "bad values": check_published.bad_values,
    "generations": check_published.older_generations,
    "incident store": check_incidents.store,
    "notifications": check_incidents.outbox,
}
_DISTRIBUTION = "dbmon-pipeline"
_SHOWN = ("duckdb", "dagster")


def examine(settings: Settings) -> Iterator[Finding]:
    """Run every check in turn."""
    yield from run_check("versions", check_versions)
    for name, check in _CHECKS.items():
        yield from run_check(name, partial(check, settings))


def load_settings(
    source: Path | None, home: Path | None, environ: Mapping[str, str]
) -> tuple[Settings, list[Finding]]:
    """Load the settings; with the shipped rules, if those that are named are wrong.

    Args:
        source: The learning database, if it is named.
        home: The working folder, if it is named.
        environ: The environment.
    """
    try:
        settings = Settings.load(source, home, environ)
    except ConfigError as error:
        wrong = problem(error.message, error.remedy)
        shipped = {name: value for name, value in environ.items() if name != "DBMON_CONFIG"}
        return Settings.load(source, home, shipped), run_check("configuration", lambda: wrong)
    rules = sum(rule.enabled for rule in settings.config.rules.values())
    file = environ.get("DBMON_CONFIG") or "the shipped file"
    return settings, run_check(
        "configuration", lambda: ok(f"{file} is valid; {rules} rules are on")
    )


def check_versions() -> Outcome:
    """Compare the installed versions with the requirements of this project."""
    about = metadata.metadata(_DISTRIBUTION)
    wrong = []
    for requirement in _requirements(about["Requires-Python"]):
        installed = _installed(requirement.name)
        if installed is None:
            wanted = requirement.specifier or "it"
            wrong.append(f"{requirement.name} is not installed, but {wanted} is needed")
        elif not requirement.specifier.contains(installed, prereleases=True):
            wrong.append(f"{requirement.name} {installed} is not {requirement.specifier}")
    shown = ", ".join(f"{name} {_installed(name) or 'missing'}" for name in ("python", *_SHOWN))
    seen = f"dbmon {about['Version']} with {shown}"
    if wrong:
        return problem(
            f"{seen}; not supported: {'; '.join(wrong)}",
            "install what requirements.lock names, or let make do it",
        )
    return ok(f"{seen}; all supported")


def _requirements(python: str) -> Iterator[Requirement]:
    """List the requirements, except those that only some installations need."""
    yield Requirement(f"python {python}")
    for line in metadata.requires(_DISTRIBUTION) or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def _installed(name: str) -> str | None:
    if name == "python":
        return platform.python_version()
    if name == "duckdb":
        return duckdb.__version__
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
