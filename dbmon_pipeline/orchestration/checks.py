"""Asset checks: is the copy the source, are the tables the copy, and is the data what it should be.

Reconciliation blocks the publication; data quality only tells, because one bad row of the
orchestrator must not stop its monitoring.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime

import dagster as dg

from dbmon_pipeline.core.alerting.check_history import RecordedVerdict, latest
from dbmon_pipeline.core.alerting.runbook import link
from dbmon_pipeline.core.alerting.verdicts import Verdict, described
from dbmon_pipeline.core.common.instants import iso
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.schema.catalogue import CHECK_HISTORY
from dbmon_pipeline.core.schema.rollups import ROLLUPS
from dbmon_pipeline.core.warehouse import quality
from dbmon_pipeline.core.warehouse.extract import kept_from
from dbmon_pipeline.core.warehouse.reconcile import (
    Comparison,
    reconcile_executions,
    reconcile_table,
    redo,
)
from dbmon_pipeline.core.warehouse.warehouse import State
from dbmon_pipeline.orchestration.markdown import markdown_table
from dbmon_pipeline.orchestration.resources import WarehouseResource, failures

_SHOWN_MISMATCHES = 5


@dg.asset_check(
    asset="executions",
    name="equals_source",
    blocking=True,
    description="Counts and sums of the copied hours equal those taken from the source in the same"
    " attach as the copy.",
)
def equals_source(warehouse: WarehouseResource) -> dg.AssetCheckResult:
    """Compare the copy with the source; what differs is read again by the next refresh."""
    opened = warehouse.warehouse
    as_of = opened.instant(State.AS_OF)
    kept = kept_from(warehouse.settings.config, as_of) if as_of else date.min
    with failures():
        comparisons = reconcile_executions(opened, kept)
        opened.distrust({c.hour for c in comparisons if c.hour and not c.agrees})
    return _reconciled(comparisons)


@dg.multi_asset_check(
    name="reconciliation",
    specs=[
        dg.AssetCheckSpec(
            "equals_executions",
            asset=rollup.name,
            blocking=True,
            description="The table's totals equal those of the executions it was made from.",
        )
        for rollup in ROLLUPS
    ],
    can_subset=True,
)
def equals_executions(
    context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource
) -> Iterator[dg.AssetCheckResult]:
    """Compare every summary table with the copy; the next refresh redoes what differs."""
    opened = warehouse.warehouse
    as_of = opened.instant(State.AS_OF) or datetime.min
    for key in sorted(context.selected_asset_check_keys, key=str):
        rollup = next(rollup for rollup in ROLLUPS if key.asset_key == dg.AssetKey(rollup.name))
        with failures():
            comparisons = reconcile_table(opened, rollup, as_of)
            if not all(comparison.agrees for comparison in comparisons):
                redo(opened, rollup)
        yield _reconciled(comparisons, key)


_QUALITY_CHECKS = {
    "unique_task_id": "Every execution has a task id of its own.",
    "values_in_range": "Quality 0..100, rating 1..5, durations and costs not negative, no NaN and"
    " no infinite values, success known.",
    "errors_match_success": "Failures have an error type, successes have none.",
    "not_in_future": "No timestamp lies more than five minutes in the future.",
    "within_history": "No row is older than the start of the history or lacks a timestamp; such"
    " rows are not monitored.",
}


@dg.multi_asset_check(
    name="data_quality",
    specs=[
        dg.AssetCheckSpec(name, asset="executions", description=description)
        for name, description in _QUALITY_CHECKS.items()
    ],
)
def data_quality(warehouse: WarehouseResource) -> Iterator[dg.AssetCheckResult]:
    """Count the rows that are not what the schema promises."""
    opened = warehouse.warehouse
    window = quality.window(opened, opened.instant(State.AS_OF) or datetime.min)
    ids = quality.measure(opened, "duplicate_task_ids", window)
    rows = quality.measure(opened, "data_quality", window)
    rows["not_finite_values"] = quality.not_finite(opened, window[0])
    outside = quality.overview(opened)

    def result(name: str, counts: dict[str, int | str | None], *bad: str) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(
            asset_key="executions",
            check_name=name,
            passed=not any(counts.get(count) for count in bad),
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "window_start": iso(window[0]),
                **{
                    key: counts[key]
                    for key in (*bad, "executions", "example")
                    if counts.get(key) is not None
                },
            },
        )

    yield result("unique_task_id", ids, "duplicate_task_ids", "missing_task_ids")
    yield result(
        "values_in_range",
        rows,
        "quality_out_of_range",
        "rating_out_of_range",
        "negative_durations",
        "negative_costs",
        "not_finite_values",
        "unknown_success",
    )
    yield result(
        "errors_match_success", rows, "successes_with_error_type", "failures_without_error_type"
    )
    yield result("not_in_future", dict(outside), "far_future_rows")
    yield result("within_history", dict(outside), "too_old_rows", "rows_without_timestamp")


_RULES = {name: rule for name, rule in Settings.load().config.rules.items() if rule.enabled}


@dg.multi_asset_check(
    name="alert_rules",
    specs=[
        dg.AssetCheckSpec(
            name,
            asset=CHECK_HISTORY.name,
            description=f"{described(name, rule)} What to do: {link(rule.section(name))}",
        )
        for name, rule in _RULES.items()
    ],
)
def alert_rules(warehouse: WarehouseResource) -> Iterator[dg.AssetCheckResult]:
    """Tell what the rules said in this refresh; a rule is as bad as the worst of its scopes."""
    found: dict[str, list[RecordedVerdict]] = {name: [] for name in _RULES}
    with failures():
        for judged in latest(warehouse.warehouse):
            found.setdefault(judged.rule, []).append(judged)
    for name, rule in _RULES.items():
        worst = max(found[name], key=lambda judged: judged.verdict.badness, default=None)
        metadata: dict[str, dg.MetadataValue | float | int | str] = {
            "runbook": link(rule.section(name))
        }
        if worst is None:
            yield dg.AssetCheckResult(check_name=name, passed=True, metadata=metadata)
            continue
        figures = {
            "value": worst.value,
            "warning": worst.warning,
            "critical": worst.critical,
            "raw_value": worst.raw_value,
        }
        metadata |= {key: value for key, value in figures.items() if value is not None}
        yield dg.AssetCheckResult(
            check_name=name,
            passed=worst.verdict.badness <= 0,
            severity=dg.AssetCheckSeverity.ERROR
            if worst.verdict is Verdict.CRITICAL
            else dg.AssetCheckSeverity.WARN,
            description=worst.sentence,
            metadata=metadata
            | {
                "samples": worst.samples,
                "verdict": worst.verdict.value,
                "scope": worst.scope[:200],
                "scopes_beyond_a_limit": sum(judged.verdict.badness > 0 for judged in found[name]),
            },
        )


def _reconciled(
    comparisons: Sequence[Comparison], key: dg.AssetCheckKey | None = None
) -> dg.AssetCheckResult:
    wrong = [comparison for comparison in comparisons if not comparison.agrees]
    shown = ((c.figure, repr(c.expected), repr(c.actual)) for c in wrong[:_SHOWN_MISMATCHES])
    metadata: dict[str, dg.MetadataValue | int] = {
        "figures_compared": len(comparisons),
        "figures_that_differ": len(wrong),
    }
    if wrong:
        metadata["differences"] = dg.MetadataValue.md(
            markdown_table("figure expected: actual:", shown)
        )
    return dg.AssetCheckResult(
        asset_key=key.asset_key if key else None,
        check_name=key.name if key else None,
        passed=not wrong,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata=metadata,
    )
