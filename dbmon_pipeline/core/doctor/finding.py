"""Findings of the checks of ``dbmon doctor``; a check that fails itself is a finding, too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from dbmon_pipeline.core.common.errors import DbmonError
from dbmon_pipeline.core.common.safe_text import plain

_LONGEST_TEXT = 600


class Level(StrEnum):
    """Level of a finding."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Outcome(NamedTuple):
    """Outcome of a check.

    Attributes:
        level: How bad it is.
        seen: What was seen.
        remedy: What to do about it, an imperative sentence without the full stop; empty if nothing.
    """

    level: Level
    seen: str
    remedy: str = ""


@dataclass(frozen=True)
class Finding:
    """Line of the examination.

    Attributes:
        name: What was looked at.
        level: How bad it is.
        seen: What was seen, on one line.
        remedy: What to do about it; empty if nothing.
    """

    name: str
    level: Level
    seen: str
    remedy: str


def ok(seen: str) -> Outcome:
    """Report that all is well."""
    return Outcome(Level.OK, seen)


def warning(seen: str, remedy: str) -> Outcome:
    """Report that something works, but not as it should."""
    return Outcome(Level.WARNING, seen, remedy)


def problem(seen: str, remedy: str) -> Outcome:
    """Report that something does not work."""
    return Outcome(Level.PROBLEM, seen, remedy)


def run_check(name: str, check: Callable[[], Outcome | None]) -> list[Finding]:
    """Run a check, whatever becomes of it.

    Args:
        name: What it looks at.
        check: The check; None if there is nothing to look at.

    Returns:
        What it found, at most one thing.
    """
    try:
        outcome = check()
    except DbmonError as error:
        outcome = problem(error.message, error.remedy)
    except OSError as error:
        outcome = problem(
            f"{error.filename or name} cannot be read ({error.strerror or error})",
            "check the permissions and the disk, or run dbmon doctor as the user of the pipeline",
        )
    except Exception as error:
        outcome = problem(
            f"the check itself failed ({type(error).__name__} {error})",
            "look at what it names; if that is sound, report this line",
        )
    if outcome is None:
        return []
    return [
        Finding(
            name,
            outcome.level,
            plain(outcome.seen, _LONGEST_TEXT),
            plain(outcome.remedy, _LONGEST_TEXT),
        )
    ]


def megabytes(size: float) -> str:
    """Format a size in bytes for people."""
    return f"{size / 1e6:,.1f} MB"
