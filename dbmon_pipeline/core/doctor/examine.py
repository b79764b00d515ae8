"""``dbmon doctor``, as far as it needs no Dagster: what is looked at, in the order of the flow.

Nothing is changed. A lock is looked at, or held for a moment where the look itself would disturb
somebody. What is broken is a finding, never an error.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import metadata
from pathlib import Path

import duckdb

from dbmon_pipeline.core.common.errors import ConfigError
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.doctor import check_home, check_incidents, check_published, check_source
from dbmon_pipeline.core.doctor.finding import Finding, Outcome, found, ok, problem

_CHECKS: dict[str, Callable[[Settings], Outcome | None]] = {
    "source": check_source.source_file,
    "source schema": check_source.source_schema,
    "source of home": check_source.source_of_the_home,
    "home": check_home.folder,
    "home lock": check_home.lock,
    "warehouse": check_home.warehouse,
    "disk": check_home.disk,
    "published": check_published.current,
    "generations": check_published.others,
    "incident store": check_incidents.store,
    "notifications": check_incidents.outbox,
}
_DISTRIBUTION = "dbmon-pipeline"
_SHOWN = ("duckdb", "dagster")
_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[^]]*\])?\s*([^;]*)")
_BOUND = re.compile(r"(>=|<)\s*([\d.]+)")


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything in turn."""
    yield from found("versions", versions)
    for name, check in _CHECKS.items():
        yield from found(name, partial(check, settings))


def configured(
    source: Path | None, home: Path | None, environ: Mapping[str, str]
) -> tuple[Settings, list[Finding]]:
    """The settings; with the shipped rules, if those that are named are wrong.

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
        return Settings.load(source, home, shipped), found("configuration", lambda: wrong)
    rules = sum(rule.enabled for rule in settings.config.rules.values())
    file = environ.get("DBMON_CONFIG") or "the shipped file"
    return settings, found("configuration", lambda: ok(f"{file} is valid; {rules} rules are on"))


def versions() -> Outcome:
    """Whether what is installed is what this project supports, by its own requirements."""
    about = metadata.metadata(_DISTRIBUTION)
    wrong = []
    for requirement in (f"python {about['Requires-Python']}", *_requirements()):
        name, bounds = requirement.split(" ", 1)
        installed = _installed(name)
        if installed is None:
            wrong.append(f"{name} is not installed, but {bounds} is needed")
        elif not _is_within(installed, bounds):
            wrong.append(f"{name} {installed} is not {bounds}")
    shown = ", ".join(f"{name} {_installed(name) or 'missing'}" for name in ("python", *_SHOWN))
    seen = f"dbmon {about['Version']} with {shown}"
    if wrong:
        return problem(
            f"{seen}; not supported: {'; '.join(wrong)}",
            "install what requirements.lock names, or let make do it",
        )
    return ok(f"{seen}; all supported")


def _requirements() -> Iterator[str]:
    """Name and bounds of each; those that only some installations need are left out."""
    for requirement in metadata.requires(_DISTRIBUTION) or ():
        parsed = _REQUIREMENT.fullmatch(requirement)
        if parsed:
            yield f"{parsed[1]} {parsed[2]}"


def _installed(name: str) -> str | None:
    if name == "python":
        return platform.python_version()
    if name == "duckdb":
        return duckdb.__version__
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _is_within(version: str, bounds: str) -> bool:
    """Whether a version keeps bounds such as ``>=1.5,<3``."""
    ours = _numbers(version)
    return all(
        ours >= _numbers(bound) if operator == ">=" else ours < _numbers(bound)
        for operator, bound in _BOUND.findall(bounds)
    )


def _numbers(version: str) -> list[int]:
    leading = re.match(r"[\d.]+", version)
    return [int(part) for part in (leading[0] if leading else "0").split(".") if part]
