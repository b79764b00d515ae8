"""The four dashboards: which questions they answer, and how wide each panel is."""

from __future__ import annotations

from dbmon_pipeline.core.common.duck import quoted
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.outputs.grafana.panel_spec import Board, PanelSpec, unit_of_measurement

OVERVIEW = Board(
    name="overview",
    title="dbmon: overview",
    about="How much is done, how well, and at what cost.",
    shown=(
        PanelSpec(
            title="Executions per day",
            question="executions_per_day",
            columns=("CAST(date AS TIMESTAMP) AS time", "executions", "successes"),
        ),
        PanelSpec(
            title="Success rate",
            question="key_figures",
            columns=("success_rate",),
            chart="gauge",
            rule="success_rate",
            width=4,
        ),
        PanelSpec(
            title="Model tier performance",
            question="success_rate_by_model_tier",
            columns=("model_tier", "success_rate"),
            rule="success_rate",
            width=8,
        ),
        PanelSpec(
            title="Duration percentiles",
            question="duration_percentiles",
            columns=("avg_seconds", "p50_seconds", "p95_seconds", "p99_seconds"),
            width=8,
        ),
        PanelSpec(
            title="Cost trends",
            question="cost_over_time",
            columns=("time", "total_cost", "total_estimate"),
            width=16,
        ),
        PanelSpec(title="Pool utilization", question="pool_utilization"),
        PanelSpec(title="Error analysis", question="top_error_types"),
        PanelSpec(
            title="Quality distribution",
            question="quality_distribution",
            columns=("band", "executions"),
            width=6,
            height=10,
        ),
        PanelSpec(title="Live executions", question="recent_executions", width=18, height=10),
    ),
)

TIERS_AND_POOLS = Board(
    name="tiers-and-pools",
    title="dbmon: tiers and pools",
    about="Which model tier and which pool do well at which work, and what that costs.",
    shown=(
        PanelSpec(
            title="Durations by model tier",
            question="duration_by_model_tier",
            columns=("model_tier", "p50_seconds", "p95_seconds", "p99_seconds"),
        ),
        PanelSpec(
            title="Durations by pool",
            question="duration_by_pool_type",
            columns=("pool_type", "p50_seconds", "p95_seconds", "p99_seconds"),
        ),
        PanelSpec(
            title="Success rate by pool",
            question="success_rate_by_pool_type",
            columns=("pool_type", "success_rate"),
            rule="success_rate",
            width=8,
        ),
        PanelSpec(
            title="Quality by model tier",
            question="quality_by_model_tier",
            columns=("model_tier", "avg_quality"),
            width=8,
        ),
        PanelSpec(
            title="Cost by model tier",
            question="cost_by_model_tier",
            columns=("model_tier", "total_cost"),
            width=8,
        ),
        PanelSpec(
            title="Success rate of the pools",
            question="pool_performance_over_time",
            columns=("time", "pool_type", "success_rate"),
            series="pool_type",
            rule="success_rate",
            width=24,
        ),
        PanelSpec(title="Cost against estimate", question="cost_efficiency"),
        PanelSpec(title="Feedback of users", question="user_feedback"),
        PanelSpec(title="Resources", question="resource_usage"),
        PanelSpec(
            title="Task types on model tiers", question="task_type_by_model_tier", chart="table"
        ),
    ),
)

ERRORS_AND_PATTERNS = Board(
    name="errors-and-patterns",
    title="dbmon: errors and patterns",
    about="What fails and where, and which solutions work.",
    shown=(
        PanelSpec(
            title="Error rate",
            question="error_rate_over_time",
            columns=("time", "error_rate"),
            rule="error_rate",
        ),
        PanelSpec(
            title="Success rate",
            question="success_rate_over_time",
            columns=("time", "success_rate"),
            rule="success_rate",
        ),
        PanelSpec(title="Error types", question="top_error_types"),
        PanelSpec(title="Errors by model tier", question="errors_by_model_tier", chart="table"),
        PanelSpec(title="Success rate by repository", question="success_rate_by_repository"),
        PanelSpec(
            title="Success rate by task type",
            question="task_type_distribution",
            columns=("task_type", "success_rate"),
            chart="bar chart",
            rule="success_rate",
        ),
        PanelSpec(title="Solutions that succeed", question="succeeding_patterns"),
        PanelSpec(title="Solutions that fail", question="failing_patterns"),
        PanelSpec(
            title="Complexity",
            question="complexity_distribution",
            columns=("CAST(complexity AS VARCHAR) AS complexity", "executions"),
        ),
        PanelSpec(title="Activity of the repositories", question="repository_activity"),
    ),
)


def monitor(config: MonitoringConfig) -> Board:
    """Build the dashboard about the monitoring itself, with a panel for each rule.

    Args:
        config: The rules.
    """
    enabled = {name: rule for name, rule in config.rules.items() if rule.enabled}
    of_age = next((n for n, rule in enabled.items() if rule.judges(n) == "source_freshness"), None)
    return Board(
        name="monitor",
        title="dbmon: the monitor itself",
        about="Whether the figures are fresh, and what the rules said.",
        shown=(
            PanelSpec(
                title="Age of the figures",
                question="figures_age",
                columns=("since_refresh_seconds", "data_age_seconds"),
                rule=of_age,
                width=6,
            ),
            PanelSpec(
                title="Time between refreshes",
                question="refreshes",
                columns=("time", "since_last_seconds"),
                rule=of_age,
                width=18,
            ),
            PanelSpec(
                title="Readings of the source",
                question="refreshes",
                columns=("time", "readings", "readings_thrown_away"),
                width=8,
            ),
            PanelSpec(
                title="Bytes read from the source",
                question="refreshes",
                columns=("time", "bytes_read"),
                unit="decbytes",
                width=8,
            ),
            PanelSpec(
                title="Rows read from the source",
                question="refreshes",
                columns=("time", "rows_read", "late_rows", "rows_gone", "unrepairable_hours"),
                width=8,
            ),
            PanelSpec(
                title="How the source was read",
                question="refreshes",
                columns=(
                    *("time AS as_of", "read_as", "readings", "readings_thrown_away"),
                    *("bytes_read", "rows_read", "hours_changed", "unrepairable_hours"),
                ),
                chart="table",
                width=24,
                height=6,
            ),
            PanelSpec(title="What the rules say", question="latest_verdicts", width=24),
            PanelSpec(
                title="Verdicts",
                question="verdicts_over_time",
                columns=("time", "rule", "badness"),
                series="rule",
                width=24,
                height=10,
            ),
            PanelSpec(title="Incidents", question="incidents", width=24),
            *(
                PanelSpec(
                    title=name,
                    question="rule_values",
                    columns=("time", "scope", "value"),
                    rule=name,
                    series="scope",
                    unit=unit_of_measurement(rule.judges(name)),
                    values={"rule": quoted(name)},
                    width=8,
                )
                for name, rule in enabled.items()
            ),
        ),
    )


def boards(config: MonitoringConfig) -> tuple[Board, ...]:
    """Build all dashboards."""
    return (OVERVIEW, TIERS_AND_POOLS, ERRORS_AND_PATTERNS, monitor(config))
