"""Alert rules, as the rules file has them."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from dbmon_pipeline.core.config.section import Positive, Section
from dbmon_pipeline.core.stats.burn_rate import can_fire


class Severity(StrEnum):
    """Severity of an incident."""

    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def badness(self) -> int:
        """Rank for comparing."""
        return {"warning": 1, "critical": 2}[self.value]


Measurement = Literal[
    "success_rate",
    "error_rate",
    "slow_executions",
    "recent_executions",
    "cost_budget",
    "cost_drift",
    "success_slo",
    "anomaly",
    "database_size",
    "source_freshness",
]
"""The subject of a rule: a file in ``sql/checks``, or a fact about the source."""

RATES = frozenset({"success_rate", "error_rate", "slow_executions"})
"""Measurements that are a part of the executions."""

_WITHOUT_SCOPES = frozenset(
    {"recent_executions", "success_slo", "anomaly", "database_size", "source_freshness"}
)
_WITH_LIMITS_OF_ITS_OWN = frozenset({"success_slo"})
OF_ROWS = frozenset({"slow_executions", "cost_drift"})
"""Measurements of the executions themselves, which are published for 48 hours only."""

_LONGEST_OF_ROWS = timedelta(hours=24)
_LONGEST_SILENCE = timedelta(days=7)
_OLDEST_SECONDS = 365 * 86_400
"""No source is as old as that and still looked after."""

Dimension = Literal["model_tier", "pool_type", "repo", "task_type"]
Length = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,2}[mhd]$")]

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def length_of(text: str) -> timedelta:
    """Parse a length like ``30m``, ``1h`` or ``7d``."""
    return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})


class Limits(Section, frozen=True):
    """Limits of a value, for a warning and for a critical verdict.

    Attributes:
        warning: Beyond it there is a warning.
        critical: Beyond it the verdict is critical.
    """

    warning: float | None = None
    critical: float | None = None


class Rule(Section, frozen=True, rename={"evaluations": "for"}):
    """Alert rule.

    Attributes:
        measurement: What it judges; left out, that of its own name.
        window: How far back it looks, for instance ``1h``.
        windows: How far back a confident verdict on a rate looks, besides; the first that is sure
            of it speaks.
        below: The limits of a value that must not be lower.
        above: The limits of a value that must not be higher.
        by: The column by whose values it judges, each for itself; all together if there is none.
        mode: ``confident`` judges what the value is at best, as far as the sample can tell;
            ``raw`` the value itself.
        confidence: How sure a confident verdict is, 0.5 to 1.
        min_samples: With fewer samples in every window the verdict is ``insufficient_data``.
        evaluations: How many evaluations in a row it takes to open an incident, and to end it.
            Called ``for`` in the file.
        recovery: By how much a value must be better than the warning limit to end an incident.
        target_seconds: From when on an execution is slow.
        target: Which part of the executions an objective wants to succeed, below 1.
        runbook: The section of RUNBOOK.md that says what to do; left out, that of its measurement.
        owner: Who looks after it.
        labels: More about it, for the receivers of notifications.
        enabled: Whether it is evaluated at all.
    """

    measurement: Measurement | None = None
    window: Length = "1h"
    windows: tuple[Length, ...] = ("30m", "1h", "3h", "6h")
    below: Limits | None = None
    above: Limits | None = None
    by: Dimension | None = None
    mode: Literal["confident", "raw"] = "confident"
    confidence: Annotated[float, Meta(gt=0.5, lt=1)] = 0.995
    min_samples: Annotated[int, Meta(ge=0)] = 10
    evaluations: Positive = 2
    recovery: Annotated[float, Meta(ge=0)] = 0
    target_seconds: Annotated[float, Meta(gt=0)] = 600
    target: Annotated[float, Meta(gt=0, lt=1)] | None = None
    runbook: str | None = None
    owner: str = "monitoring"
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    enabled: bool = True

    def __post_init__(self) -> None:
        """Refuse limits that contradict each other."""
        if self.below is not None and self.above is not None:
            raise ValueError("a rule has limits either below or above")
        warning, critical = self.limits.warning, self.limits.critical
        if warning is not None and critical is not None:
            is_wrong = critical > warning if self.below else critical < warning
            if is_wrong:
                raise ValueError("the critical limit must lie beyond the warning limit")

    @property
    def limits(self) -> Limits:
        """The limits of the one side that the rule has."""
        return self.below or self.above or Limits()

    def judges(self, name: str) -> str:
        """Return the measurement that the rule of this name judges."""
        return self.measurement or name

    def section(self, name: str) -> str:
        """Return the section of RUNBOOK.md for the rule of this name."""
        return self.runbook or self.judges(name)

    def limit(self, severity: Severity) -> float | None:
        """Return the limit of a severity; None if the rule has none, or decides otherwise."""
        return self.limits.critical if severity is Severity.CRITICAL else self.limits.warning

    def severities(self, name: str) -> list[Severity]:
        """List the severities that the rule of this name can assign, the worst last."""
        decides_otherwise = self.judges(name) in _WITH_LIMITS_OF_ITS_OWN
        return [
            severity
            for severity in Severity
            if decides_otherwise or self.limit(severity) is not None
        ]

    @property
    def direction(self) -> Literal["below", "above"]:
        """The side of a limit on which a value is wrong."""
        return "below" if self.below else "above"


def check_rule(name: str, rule: Rule) -> None:
    """Check that a rule can be measured.

    Raises:
        ValueError: It cannot.
    """
    measurement = rule.judges(name)
    if measurement not in get_args(Measurement):
        known = ", ".join(get_args(Measurement))
        raise ValueError(f"it names no measurement; they are {known}")
    has_limit = rule.limits.warning is not None or rule.limits.critical is not None
    if measurement in _WITH_LIMITS_OF_ITS_OWN:
        if has_limit:
            raise ValueError(f"the limits of {measurement} follow from its target")
        if rule.enabled and rule.target is None:
            raise ValueError(f"{measurement} needs a target")
        if rule.target is not None and not can_fire(rule.target):
            raise ValueError(
                f"with a target of {rule.target} it could never fire, even if all executions failed"
            )
    elif rule.enabled and not has_limit:
        raise ValueError("an enabled rule has a warning limit, a critical one, or both")
    if measurement == "anomaly" and rule.limits.critical is not None:
        raise ValueError("an anomaly is a warning at the most")
    if rule.by is not None and measurement in _WITHOUT_SCOPES:
        raise ValueError(f"{measurement} cannot be measured by {rule.by}")
    if measurement == "source_freshness" and not all(
        0 <= (limit or 0) <= _OLDEST_SECONDS
        for limit in (rule.limits.warning, rule.limits.critical)
    ):
        raise ValueError(f"an age is limited in seconds, 0 to {_OLDEST_SECONDS} (365 days)")
    if measurement == "recent_executions" and length_of(rule.window) > _LONGEST_SILENCE:
        raise ValueError("a silence is looked for over 7d at the most")
    is_confident = measurement in RATES and rule.mode == "confident"
    windows = (rule.window, *(rule.windows if is_confident else ()))
    if measurement in OF_ROWS and max(map(length_of, windows)) > _LONGEST_OF_ROWS:
        raise ValueError(f"{measurement} is measured over 24h at the most")
    if is_confident and not rule.windows:
        raise ValueError("a confident rule on a rate has at least one of windows")
