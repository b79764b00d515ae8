"""The sections about work: how much ran, what it cost, and who did it."""

from __future__ import annotations

from dbmon_pipeline.core.common.rows import Records, Scalar
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.outputs.report.content import Chart, Section, Table
from dbmon_pipeline.outputs.report.tables import (
    MOST_ROWS,
    Ask,
    answer_table,
    number,
    sort_descending,
    top_rows,
    with_bar_chart,
)
from dbmon_pipeline.outputs.report.words import cut, percent, point, usd


def activity(points: Records, *, unit: str) -> Section:
    """Build the section about how much ran, and how well, over time."""
    known = [row for row in points if row["executions"]]
    worst = min(known, key=lambda row: number(row["success_rate"]), default=None)
    busiest = max(known, key=lambda row: number(row["executions"]), default=None)
    charts = (
        Chart(
            draws="executions",
            title=f"Executions by {unit}",
            text=f"Bars of executions by {unit}, parted into those that succeeded and the others."
            + (
                f" The most, {busiest['executions']:,}, were in {point(str(busiest['time']))}."
                if busiest
                else ""
            ),
        ),
        Chart(
            draws="success_rate",
            title=f"Success rate by {unit}",
            text=f"A line of the success rate by {unit}, with the band of 95 % confidence."
            + (
                f" The lowest, {percent(number(worst['success_rate']))} of"
                f" {worst['executions']:,}, was in {point(str(worst['time']))}."
                if worst
                else ""
            ),
        ),
    )
    return Section(
        name="activity",
        title="What ran",
        lead="",
        tables=(
            Table(
                name="over_time",
                caption=f"Executions by {unit}; a success rate with its 95 % confidence bounds",
                columns=(
                    *("time", "executions", "successes", "success_rate"),
                    *("lowest_rate", "highest_rate", "avg_duration_seconds"),
                ),
                rows=points,
                questions=("hourly_measures",),
                is_shown=False,
                charts=charts if known else (),
            ),
        ),
    )


def cost(ask: Ask, points: Records, config: MonitoringConfig, *, unit: str) -> Section:
    """Build the section about the money spent, and what it was spent on."""
    tiers = ask("cost_by_model_tier")
    repos = sort_descending(ask("repository_activity").records, "total_cost")
    types = sort_descending(ask("task_type_distribution").records, "total_cost")
    spent = [row for row in points if row["total_cost"] is not None]
    with_cost = sum(int(number(row["with_cost"])) for row in tiers.records)
    budget = config.rules.get("cost_budget")
    limits = (
        tuple(x for x in (budget.limits.warning, budget.limits.critical) if x is not None)
        if budget and budget.enabled and not budget.by and unit == "day"
        else ()
    )
    over = [row for row in spent if limits and number(row["total_cost"]) > limits[0]]
    lead = f"The cost of {with_cost:,} of {tiers.samples:,} executions is known."
    if limits:
        lead += f" {len(over)} of {len(points)} days were above the budget of {usd(limits[0])}."
    drawn = Chart(
        draws="cost",
        title=f"Cost by {unit}",
        text=f"Bars of what was spent by {unit}, in US dollars.",
        limits=limits,
    )
    return Section(
        name="cost",
        title="Cost and where it goes",
        lead=lead,
        tables=(
            Table(
                name="cost_over_time",
                caption=f"Cost by {unit}",
                columns=("time", "executions", "with_cost", "total_cost"),
                rows=points,
                questions=("hourly_measures",),
                is_shown=False,
                charts=(drawn,) if spent else (),
            ),
            with_bar_chart(
                answer_table(
                    tiers, "Cost by model tier; the share is of all known costs", "total_cost"
                ),
                "Cost by model tier",
                "total_cost",
            ),
            with_bar_chart(
                Table(
                    name="cost_by_repository",
                    caption="The repositories that cost most",
                    columns=("repo", "executions", "success_rate", "total_cost"),
                    rows=repos[:MOST_ROWS],
                    left_out=len(repos[MOST_ROWS:]),
                    questions=("repository_activity",),
                ),
                "Cost by repository",
                "total_cost",
            ),
            with_bar_chart(
                Table(
                    name="cost_by_task_type",
                    caption="The task types that cost most",
                    columns=("task_type", "executions", "success_rate", "total_cost"),
                    rows=types[:MOST_ROWS],
                    left_out=len(types[MOST_ROWS:]),
                    questions=("task_type_distribution",),
                ),
                "Cost by task type",
                "total_cost",
            ),
            answer_table(
                ask("cost_efficiency"),
                "Actual cost against its estimate, where both are known",
                "total_cost",
            ),
        ),
    )


def tiers(ask: Ask) -> Section:
    """Build the section that puts model tiers and pools side by side."""
    sources = (
        *("success_rate_by_model_tier", "quality_by_model_tier", "cost_by_model_tier"),
        *("duration_by_model_tier", "user_feedback"),
    )
    joined: dict[Scalar, dict[str, Scalar]] = {}
    for name in sources:
        for row in ask(name).records:
            joined.setdefault(row["model_tier"], {}).update(
                {k: v for k, v in row.items() if not (name.startswith("dur") and k == "executions")}
            )
    rows = top_rows([*joined.values()], "executions")
    drawn = [row for row in rows if None not in (row["avg_cost"], row["avg_quality"])]
    said = "; ".join(
        f"{cut(str(row['model_tier']), 40)}: quality {number(row['avg_quality']):.0f}"
        f" at {usd(number(row['avg_cost']))}"
        for row in drawn[:MOST_ROWS]
    )
    if more := drawn[MOST_ROWS:]:
        said += f"; and {len(more)} more"
    chart = Chart(
        draws="quality_against_cost",
        title="Quality against cost",
        text=f"A point for each model tier: {said}.",
    )
    return Section(
        name="tiers",
        title="Model tiers and pools side by side",
        lead="The cheapest tier per success need not be the cheapest per execution.",
        tables=(
            Table(
                name="model_tiers",
                caption="Model tiers; quality is of the executions that have a score,"
                " cost of those of which it is known",
                columns=(
                    *("model_tier", "executions", "success_rate", "with_score", "avg_quality"),
                    *("with_cost", "avg_cost", "cost_per_success", "p50_seconds", "p95_seconds"),
                    *("judged", "acceptance_rate"),
                ),
                rows=rows,
                left_out=len(joined) - len(rows),
                questions=sources,
                charts=(chart,) if drawn else (),
            ),
            answer_table(
                ask("pool_utilization"), "Pools; concurrency is how many ran at once on average"
            ),
        ),
    )
