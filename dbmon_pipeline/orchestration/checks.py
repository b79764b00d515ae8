"""Asset checks: is what was read the source, are the tables what was read, is the data sound.

What was read and the tables must be right, else nothing is published. Data quality and the alert
rules only tell: one bad row of the orchestrator must not stop its monitoring.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import dagster as dg

from dbmon_pipeline.core.alerting.check_history import RecordedVerdict
from dbmon_pipeline.core.alerting.runbook import link
from dbmon_pipeline.core.alerting.verdicts import Verdict, describe_rule
from dbmon_pipeline.core.common.errors import ContractError, SourceError, SourceShrankError
from dbmon_pipeline.core.common.instants import iso
from dbmon_pipeline.core.config.rule import Rule
from dbmon_pipeline.core.rollup.result import RolledUp
from dbmon_pipeline.core.schema.catalogue import CHECK_HISTORY, HOUR_LEDGER
from dbmon_pipeline.core.schema.manifest import Difference
from dbmon_pipeline.orchestration.markdown import markdown_table
from dbmon_pipeline.orchestration.namespace import Project

Metadata = dict[str, dg.MetadataValue | float | int | str]

SCHEMA_CONTRACT = "schema_contract"
SOURCE_SHRANK = "source_shrank"
EQUALS_SOURCE = "equals_source"
TABLES_EQUAL_LEDGER = "tables_equal_ledger"

_CHECK_OF: dict[type[SourceError], str] = {
    ContractError: SCHEMA_CONTRACT,
    SourceShrankError: SOURCE_SHRANK,
}
"""The checks that fail with an error, which tells more."""
_SHOWN_DIFFERENCES = 5
_BLOCKING = {
    SCHEMA_CONTRACT: "The source has the table and the required columns, in usable types.",
    SOURCE_SHRANK: "The source still holds most of what was read from it. If not, a person is asked"
    " before it is deleted here, too: launch with `accept_shrink`.",
    EQUALS_SOURCE: "Counts and sums of the rows that were read equal those that the source gave in"
    " the same reading.",
    TABLES_EQUAL_LEDGER: "The totals of every table equal those of the hour ledger, for each day"
    " that was read.",
}
_TELLING = {
    "not_in_future": "No timestamp lies more than five minutes in the future.",
    "within_history": "No row is older than the start of the history or lacks a timestamp; such"
    " rows are not monitored.",
    "unique_task_id": "Every execution has a task id of its own.",
    "values_in_range": "Quality 0..100, rating 1..5, durations and costs not negative, no NaN and"
    " no infinite values, success known.",
    "errors_match_success": "Failures have an error type, successes have none.",
    "readable_values": "Every value can be read as the type that its column should have.",
    "history_complete": "No published file was damaged whose rows the source no longer holds.",
}
_COUNTS = {
    "unique_task_id": ("duplicate_task_ids", "missing_task_ids"),
    "values_in_range": (
        *("quality_out_of_range", "rating_out_of_range", "negative_durations", "negative_costs"),
        *("not_finite_values", "unknown_success"),
    ),
    "errors_match_success": ("successes_with_error_type", "failures_without_error_type"),
    "readable_values": ("unreadable_values",),
}


def check_specs(project: Project) -> list[dg.AssetCheckSpec]:
    """Describe all checks of a refresh."""
    ledger, history = map(project.namespace.key, (HOUR_LEDGER.name, CHECK_HISTORY.name))
    return [
        *(
            dg.AssetCheckSpec(name, asset=ledger, blocking=name in _BLOCKING, description=text)
            for name, text in (_BLOCKING | _TELLING).items()
        ),
        *(
            dg.AssetCheckSpec(
                name,
                asset=history,
                description=f"{describe_rule(name, rule)} What to do: {link(rule.section(name))}",
            )
            for name, rule in _rules(project).items()
        ),
    ]


@dataclass(frozen=True)
class Checks:
    """Results of the checks of one refresh.

    Attributes:
        project: Whose checks they are.
    """

    project: Project

    def refused(self, error: SourceError) -> Iterator[dg.AssetCheckResult]:
        """Yield the check that fails with an error, if one does."""
        name = _CHECK_OF.get(type(error))
        if name:
            yield self._of_ledger(name, passed=False, metadata={"problem": str(error)})

    def of_source(self, rolled_up: RolledUp) -> Iterator[dg.AssetCheckResult]:
        """Yield the checks of what was read."""
        changes, profile = rolled_up.changes, rolled_up.profile
        missing = ", ".join(profile.missing_columns) or "none"
        yield self._of_ledger(SCHEMA_CONTRACT, metadata={"missing_optional_columns": missing})
        yield self._of_ledger(
            SOURCE_SHRANK,
            metadata={"rows_gone": changes.rows_gone, "is_replaced": changes.is_replaced},
        )
        yield self._reconciled(EQUALS_SOURCE, rolled_up.source_differences)
        yield self._counted("not_in_future", {"far_future_rows": profile.far_future_rows})
        yield self._counted(
            "within_history",
            {
                "too_old_rows": profile.too_old_rows,
                "rows_without_timestamp": profile.rows_without_timestamp,
            },
        )

    def of_tables(self, rolled_up: RolledUp) -> dg.AssetCheckResult:
        """Compare the tables with the ledger, and name those that differ."""
        return self._reconciled(TABLES_EQUAL_LEDGER, rolled_up.ledger_differences)

    def of_quality(self, rolled_up: RolledUp) -> Iterator[dg.AssetCheckResult]:
        """Yield the checks of the rows."""
        counted = rolled_up.quality
        about: Metadata = {
            "window_start": iso(rolled_up.quality_from),
            "executions": counted["executions"],
        }
        examples: dict[str, Metadata] = {}
        if rolled_up.duplicate_task_id is not None:
            examples["unique_task_id"] = {"example": rolled_up.duplicate_task_id[:200]}
        if rolled_up.bad_values:
            rows = ((bad.column, bad.value, bad.task_id) for bad in rolled_up.bad_values)
            table = dg.MetadataValue.md(markdown_table("column value task_id", rows))
            examples["readable_values"] = {"examples": table}
        for name, counts in _COUNTS.items():
            also = about | examples.get(name, {})
            yield self._counted(name, {count: counted[count] for count in counts}, also)
        lost: Metadata = {"lost": ", ".join(rolled_up.lost)} if rolled_up.lost else {}
        yield self._counted("history_complete", {"files_lost": len(rolled_up.lost)}, lost)

    def of_rules(self, verdicts: Sequence[RecordedVerdict]) -> Iterator[dg.AssetCheckResult]:
        """Yield what the rules said; a rule is as bad as the worst of its scopes."""
        by_rule: dict[str, list[RecordedVerdict]] = {}
        for verdict in verdicts:
            by_rule.setdefault(verdict.rule, []).append(verdict)
        history = self.project.namespace.key(CHECK_HISTORY.name)
        for name, rule in _rules(self.project).items():
            yield _of_rule(name, rule, by_rule.get(name, []), history)

    def _of_ledger(
        self,
        name: str,
        *,
        passed: bool = True,
        severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
        metadata: Metadata,
    ) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(
            asset_key=self.project.namespace.key(HOUR_LEDGER.name),
            check_name=name,
            passed=passed,
            severity=severity,
            metadata=metadata,
        )

    def _counted(
        self,
        name: str,
        counts: dict[str, int],
        also: Metadata | None = None,
    ) -> dg.AssetCheckResult:
        return self._of_ledger(
            name,
            passed=not any(counts.values()),
            severity=dg.AssetCheckSeverity.WARN,
            metadata={**(also or {}), **counts},
        )

    def _reconciled(self, name: str, differences: Sequence[Difference]) -> dg.AssetCheckResult:
        metadata: Metadata = {"figures_that_differ": len(differences)}
        if differences:
            shown = (
                (difference.figure, repr(difference.expected), repr(difference.actual))
                for difference in differences[:_SHOWN_DIFFERENCES]
            )
            table = markdown_table("figure expected: actual:", shown)
            metadata["differences"] = dg.MetadataValue.md(table)
        return self._of_ledger(name, passed=not differences, metadata=metadata)


def _of_rule(
    name: str, rule: Rule, verdicts: list[RecordedVerdict], history: dg.AssetKey
) -> dg.AssetCheckResult:
    worst = max(verdicts, key=lambda verdict: verdict.verdict.badness, default=None)
    metadata: Metadata = {"runbook": link(rule.section(name))}
    if worst:
        figures = ("value", "warning", "critical", "raw_value", "samples")
        known = {key: value for key in figures if (value := getattr(worst, key)) is not None}
        metadata |= known | {
            "verdict": worst.verdict.value,
            "scope": worst.scope[:200],
            "scopes_beyond_a_limit": sum(judged.verdict.badness > 0 for judged in verdicts),
        }
    is_critical = worst is not None and worst.verdict is Verdict.CRITICAL
    return dg.AssetCheckResult(
        asset_key=history,
        check_name=name,
        passed=worst is None or worst.verdict.badness <= 0,
        severity=dg.AssetCheckSeverity.ERROR if is_critical else dg.AssetCheckSeverity.WARN,
        description=worst.sentence if worst else None,
        metadata=metadata,
    )


def _rules(project: Project) -> dict[str, Rule]:
    rules = project.settings.config.rules
    return {name: rule for name, rule in rules.items() if rule.enabled}
