"""The catalogue of summary tables.

Each entry has its SELECT in ``sql/rollups/NAME.sql``; the name is the warehouse table, the
published folder and the Dagster asset. A new summary table is one SQL file and one entry here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from dbmon_pipeline.core.common.instants import day_start
from dbmon_pipeline.core.common.shipped import sql
from dbmon_pipeline.core.schema.table import Table


@dataclass(frozen=True)
class Rollup(Table):
    """One summary table.

    Attributes:
        totals: What must agree with the executions it was made from: an expression over this table
            to one over ``counted_in``.
        counted_in: The FROM clause of the latter, with ``{}`` for those executions.
        from_midnight: Whether its window begins at midnight rather than at that very instant.
        days_in: The table that has the whole days of this hourly one, if there is one.
    """

    totals: Mapping[str, str]
    counted_in: str = "{}"
    from_midnight: bool = False
    days_in: str | None = None

    @property
    def select(self) -> str:
        """The bare SELECT, with ``$window_start`` and ``$window_end``."""
        return sql("rollups", self.name)

    def window_at(self, as_of: datetime) -> tuple[datetime, datetime]:
        """The window ``[start, end)`` of a table of the last so much time.

        Raises:
            ValueError: The rows of this table belong to days.
        """
        if self.window is None:
            raise ValueError(f"{self.name} has no window")
        start = day_start(as_of.date()) if self.from_midnight else as_of
        return start - self.window, as_of


_DIMENSIONS = ("repo", "task_type", "model_tier", "pool_type")
_MEASURE_TOTALS = {
    "sum(executions)": "count(*)",
    "sum(successes)": "count(*) FILTER (WHERE success)",
    "sum(errors)": "count(error_type)",
    "sum(duration_count)": "count(duration_seconds)",
    "sum(duration_sum)": "sum(duration_seconds)",
    "sum(actual_cost_sum)": "sum(actual_cost)",
    "sum(cost_estimate_sum)": "sum(cost_estimate)",
    "sum(quality_sum)": "sum(quality_score)",
    "sum(feedback_count)": "count(user_accepted)",
}
_BUCKET_TOTALS = {
    "sum(n) FILTER (WHERE metric = 'duration_seconds')": "count(duration_seconds)",
    "sum(n) FILTER (WHERE metric = 'peak_memory_mb')": "count(peak_memory_mb)",
}
_ERROR_TOTALS = {"sum(occurrences)": "count(error_type)"}
_COMPLEXITY_TOTALS = {
    "sum(executions)": "count(*)",
    "sum(successes)": "count(*) FILTER (WHERE success)",
    "sum(duration_sum)": "sum(duration_seconds)",
    "sum(actual_cost_sum)": "sum(actual_cost)",
}
_WITH_COMPLEXITY = "(SELECT * FROM {} WHERE complexity_score IS NOT NULL)"

ROLLUPS = (
    Rollup(
        "hourly_summary",
        "one hour of one repo, task type, model tier and pool type",
        ("hour", *_DIMENSIONS),
        _MEASURE_TOTALS,
        days_in="daily_summary",
    ),
    Rollup(
        "hourly_totals",
        "one hour of one model tier and pool type",
        ("hour", "model_tier", "pool_type"),
        _MEASURE_TOTALS,
    ),
    Rollup(
        "daily_summary",
        "one day of one repo, task type, model tier and pool type",
        ("date", *_DIMENSIONS),
        _MEASURE_TOTALS,
    ),
    Rollup(
        "hourly_distribution",
        "one hour, model tier, pool type, metric and bucket of values",
        ("hour", "model_tier", "pool_type", "metric", "bucket"),
        _BUCKET_TOTALS,
        file_sort="metric, hour, model_tier, pool_type, bucket",
        days_in="daily_distribution",
    ),
    Rollup(
        "daily_distribution",
        "one day, model tier, pool type, metric and bucket of values",
        ("date", "model_tier", "pool_type", "metric", "bucket"),
        _BUCKET_TOTALS,
        file_sort="metric, date, model_tier, pool_type, bucket",
    ),
    Rollup(
        "tier_performance",
        "one day of one repo, model tier and task type",
        ("date", "repo", "model_tier", "task_type"),
        {
            "sum(total_executions)": "count(*)",
            "sum(successful_count)": "count(*) FILTER (WHERE success)",
            "sum(total_cost)": "sum(actual_cost)",
        },
    ),
    Rollup(
        "pool_performance",
        "one hour of one pool type and repo",
        ("hour", "pool_type", "repo"),
        {
            "sum(total_tasks)": "count(*)",
            "sum(successful_tasks)": "count(*) FILTER (WHERE success)",
        },
    ),
    Rollup(
        "error_summary",
        "one hour of one error type in one repo, task type, model tier and pool type",
        ("hour", "error_type", *_DIMENSIONS),
        _ERROR_TOTALS,
        days_in="daily_error_summary",
    ),
    Rollup(
        "daily_error_summary",
        "one day of one error type in one repo, task type, model tier and pool type",
        ("date", "error_type", *_DIMENSIONS),
        _ERROR_TOTALS,
    ),
    Rollup(
        "hourly_complexity",
        "one hour of one repo and model tier, and one complexity score",
        ("hour", "repo", "model_tier", "complexity"),
        _COMPLEXITY_TOTALS,
        counted_in=_WITH_COMPLEXITY,
        days_in="daily_complexity",
    ),
    Rollup(
        "daily_complexity",
        "one day of one repo and model tier, and one complexity score",
        ("date", "repo", "model_tier", "complexity"),
        _COMPLEXITY_TOTALS,
        counted_in=_WITH_COMPLEXITY,
    ),
    Rollup(
        "solution_patterns",
        "one solution summary used at least five times in one repo, over 90 days",
        ("solution_summary", "repo"),
        {
            "count(*)": "count(*)",
            "sum(usage_count)": "sum(n)",
            "sum(success_count)": "sum(successes)",
        },
        counted_in="(SELECT count(*) AS n, count(*) FILTER (WHERE success) AS successes FROM {}"
        " WHERE solution_summary IS NOT NULL GROUP BY solution_summary, repo HAVING count(*) >= 5)",
        window=timedelta(days=90),
        from_midnight=True,
    ),
    Rollup(
        "recent_executions",
        "one execution of the last 48 hours",
        ("timestamp", "task_id"),
        {
            "count(*)": "count(*)",
            "count(*) FILTER (WHERE success)": "count(*) FILTER (WHERE success)",
        },
        window=timedelta(hours=48),
        file_sort="timestamp DESC, task_id",
    ),
)
"""Every summary table, in the order of the flow."""

BY_NAME = {rollup.name: rollup for rollup in ROLLUPS}
