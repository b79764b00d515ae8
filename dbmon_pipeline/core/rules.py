"""Rules: measurements are judged by the limits of the rules file.

A measurement is a value with its sample size; it knows no limit. Every face shows these verdicts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from dbmon_pipeline.core.config import MonitoringConfig, Rule
from dbmon_pipeline.core.queries import Reader


class Verdict(StrEnum):
    """What a rule says of a value."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    INSUFFICIENT_DATA = "insufficient_data"


@dataclass(frozen=True)
class Alert:
    """A judged measurement.

    Attributes:
        rule: The rule.
        scope: What was measured, ``all`` for everything.
        verdict: What the rule says.
        value: The value; None if nothing could be measured.
        samples: How many executions it was made from.
        warning: The limit of a warning, None if there is none.
        critical: The limit of what is critical, None if there is none.
        direction: ``below`` or ``above``: on which side of a limit a value is wrong.
    """

    rule: str
    scope: str
    verdict: Verdict
    value: float | None
    samples: int
    warning: float | None
    critical: float | None
    direction: Literal["below", "above"]

    @property
    def sentence(self) -> str:
        """What a person is told of it."""
        limit = self.critical if self.verdict is Verdict.CRITICAL else self.warning
        said = f"{self.rule.replace('_', ' ')} is {_spoken(self.rule, self.value)}"
        of = f" of {self.samples:,} executions" if self.rule.endswith("_rate") else ""
        return f"{said}{of}, {self.direction} the limit of {_spoken(self.rule, limit)}"


def _spoken(rule: str, value: float | None) -> str:
    """A value of a rule with its unit."""
    if value is None:
        return "unknown"
    match rule:
        case "success_rate" | "error_rate":
            return f"{value:.1%}"
        case "database_size":
            return f"{value:,.0f} MB"
        case "source_freshness":
            return f"{value / 3600:,.1f} hours"
    return f"{value:,g}"


def judge(rule: Rule, value: float | None, samples: int) -> Verdict:
    """Compare a value with the limits of a rule.

    Args:
        rule: The rule.
        value: The value, None if nothing could be measured.
        samples: How many executions it was made from.
    """
    if value is None or samples < rule.min_samples:
        return Verdict.INSUFFICIENT_DATA

    def is_beyond(limit: float | None) -> bool:
        return limit is not None and (value < limit if rule.below else value > limit)

    if is_beyond(rule.limits.critical):
        return Verdict.CRITICAL
    return Verdict.WARNING if is_beyond(rule.limits.warning) else Verdict.OK


def evaluate(reader: Reader, config: MonitoringConfig) -> list[Alert]:
    """Judge every enabled rule as of the reader's instant.

    Windows end where the source had been read up to: what came later is not known to be missing.

    Raises:
        NotPublishedError: A published file is damaged or gone.
        SourceError: The database cannot be read.
    """
    return [
        Alert(
            rule=name,
            scope=scope,
            verdict=judge(rule, value, samples),
            value=value,
            samples=samples,
            warning=rule.limits.warning,
            critical=rule.limits.critical,
            direction="below" if rule.below else "above",
        )
        for name, rule in config.rules.items()
        if rule.enabled
        for scope, value, samples in _measured(reader, name, rule)
    ]


def _measured(reader: Reader, name: str, rule: Rule) -> list[tuple[str, float | None, int]]:
    """The scopes of a measurement, each with its value and its samples."""
    if name in _OF_THE_SOURCE:
        return [("all", _OF_THE_SOURCE[name](reader), rule.min_samples)]
    about = reader.about
    end = min(about.as_of, about.data_through or about.as_of)
    rows = reader.measure(name, rule.length, end).rows
    if name == "recent_executions":  # A silence says something only where there was a sound.
        return [(str(scope), _number(value), about.executions) for scope, value, _ in rows]
    return [(str(scope), _number(value), int(str(samples))) for scope, value, samples in rows]


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))


def _size_mb(reader: Reader) -> float:
    return reader.about.source_bytes / 1e6


def _age_seconds(reader: Reader) -> float | None:
    through = reader.about.data_through
    return (reader.about.as_of - through).total_seconds() if through else None


_OF_THE_SOURCE = {"database_size": _size_mb, "source_freshness": _age_seconds}
"""Measurements that are not made from executions."""
