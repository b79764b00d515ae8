"""The sections about executions: each is made of answers to questions of the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from dbmon_pipeline.core.config import MonitoringConfig
from dbmon_pipeline.core.queries import Answer
from dbmon_pipeline.core.rows import Records, Rows, Scalar
from dbmon_pipeline.core.statistics import wilson_bounds
from dbmon_pipeline.faces.report.content import Chart, Section, Table
from dbmon_pipeline.faces.report.words import cut, percent, point, usd

Ask = Callable[[str], Answer]
"""Answers a question over the period of the report."""

_MOST_ROWS = 10
_CONFIDENCE = 0.975


def activity(points: Records, *, unit: str) -> Section:
    """How much ran, and how well, over time."""
    known = [row for row in points if row["executions"]]
    worst = min(known, key=lambda row: _number(row["success_rate"]), default=None)
    busiest = max(known, key=lambda row: _number(row["executions"]), default=None)
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
                f" The lowest, {percent(_number(worst['success_rate']))} of"
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
    """What was spent, and on what."""
    tiers = ask("cost_by_model_tier")
    repos = _largest(ask("repository_activity").records, "total_cost")
    types = _largest(ask("task_type_distribution").records, "total_cost")
    spent = [row for row in points if row["total_cost"] is not None]
    with_cost = sum(int(_number(row["with_cost"])) for row in tiers.records)
    budget = config.rules.get("cost_budget")
    limits = (
        tuple(x for x in (budget.limits.warning, budget.limits.critical) if x is not None)
        if budget and budget.enabled and not budget.by and unit == "day"
        else ()
    )
    over = [row for row in spent if limits and _number(row["total_cost"]) > limits[0]]
    lead = f"The cost of {with_cost:,} of {tiers.samples:,} executions is known."
    if limits:
        lead += f" {len(over)} of {len(points)} days were above the budget of {usd(limits[0])}."
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
                charts=_charts(
                    spent,
                    Chart(
                        draws="cost",
                        title=f"Cost by {unit}",
                        text=f"Bars of what was spent by {unit}, in US dollars.",
                        limits=limits,
                    ),
                ),
            ),
            _bars(
                Table(
                    name="cost_by_model_tier",
                    caption="Cost by model tier; the share is of all known costs",
                    columns=tiers.columns,
                    rows=tiers.records,
                    questions=("cost_by_model_tier",),
                ),
                "Cost by model tier",
                "total_cost",
            ),
            _bars(
                Table(
                    name="cost_by_repository",
                    caption="The repositories that cost most",
                    columns=("repo", "executions", "success_rate", "total_cost"),
                    rows=repos[:_MOST_ROWS],
                    left_out=len(repos[_MOST_ROWS:]),
                    questions=("repository_activity",),
                ),
                "Cost by repository",
                "total_cost",
            ),
            _bars(
                Table(
                    name="cost_by_task_type",
                    caption="The task types that cost most",
                    columns=("task_type", "executions", "success_rate", "total_cost"),
                    rows=types[:_MOST_ROWS],
                    left_out=len(types[_MOST_ROWS:]),
                    questions=("task_type_distribution",),
                ),
                "Cost by task type",
                "total_cost",
            ),
            _plain(
                ask("cost_efficiency"), "Actual cost against its estimate, where both are known"
            ),
        ),
    )


def tiers(ask: Ask) -> Section:
    """Model tiers and pools side by side."""
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
    rows = [*joined.values()]
    drawn = [row for row in rows if None not in (row["avg_cost"], row["avg_quality"])]
    said = "; ".join(
        f"{cut(str(row['model_tier']), 40)}: quality {_number(row['avg_quality']):.0f}"
        f" at {usd(_number(row['avg_cost']))}"
        for row in drawn
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
                questions=sources,
                charts=_charts(
                    drawn,
                    Chart(
                        draws="quality_against_cost",
                        title="Quality against cost",
                        text=f"A point for each model tier: {said}.",
                    ),
                ),
            ),
            _plain(
                ask("pool_utilization"), "Pools; concurrency is how many ran at once on average"
            ),
        ),
    )


def trouble(ask: Ask) -> Section:
    """Slow and failing work."""
    errors = ask("top_error_types")
    repos = [_failing(row) for row in ask("success_rate_by_repository").records]
    repos = _largest([row for row in repos if row["failures"]], "failures")
    slow = ask("duration_by_model_tier")
    return Section(
        name="trouble",
        title="Slow and failing work",
        lead="",
        tables=(
            Table(
                name="durations",
                caption="Durations by model tier; percentiles are within 1 % of the exact ones",
                columns=slow.columns,
                rows=slow.records,
                questions=("duration_by_model_tier",),
                is_shown=False,
                charts=_charts(
                    [row for row in slow.records if row["p50_seconds"]],
                    Chart(
                        draws="durations",
                        title="Durations by model tier",
                        text="For each model tier a line from the median duration to that of 99 %,"
                        " with a mark at 95 %.",
                    ),
                ),
            ),
            _plain(ask("duration_by_pool_type"), "Durations by pool"),
            _bars(
                Table(
                    name="errors",
                    caption="The most frequent error types; the message is an example",
                    columns=("error_type", "occurrences", "share", "repos", "example_message"),
                    rows=errors.records,
                    questions=("top_error_types",),
                ),
                "Errors by type",
                "occurrences",
            ),
            _bars(
                Table(
                    name="failing_repositories",
                    caption="The repositories with the most executions that did not succeed",
                    columns=("repo", "failures", "executions", "success_rate"),
                    rows=repos[:_MOST_ROWS],
                    left_out=len(repos[_MOST_ROWS:]),
                    questions=("success_rate_by_repository",),
                ),
                "Failures by repository",
                "failures",
            ),
        ),
    )


def patterns(found: Rows, as_of: str) -> Section:
    """What is done again and again, and whether it works."""
    rows = found.records
    columns = (
        "solution_summary",
        "repo",
        "usage_count",
        "success_rate",
        "avg_quality",
        "last_seen",
    )
    best = sorted(rows, key=lambda row: (-_bounds(row)[0], str(row["solution_summary"])))
    worst = sorted(
        (row for row in rows if row["success_count"] != row["usage_count"]),
        key=lambda row: (_bounds(row)[1], str(row["solution_summary"])),
    )
    tables = tuple(
        Table(name=name, caption=caption, columns=columns, rows=some[:_MOST_ROWS])
        for name, caption, some in (
            ("patterns_that_succeed", "Solutions that most surely succeed", best),
            ("patterns_that_fail", "Solutions that most surely fail", worst),
        )
    )
    return Section(
        name="patterns",
        title="Patterns that succeed and that fail",
        lead=f"Of {len(rows):,} solutions that were used at least five times in one repository in"
        f" the 90 days to {as_of}, by the confidence bound of their success rate: often used and"
        " good comes before rarely used and perfect.",
        tables=tables,
    )


def quality(ask: Ask) -> Section:
    """How good the work is, and how good the data are."""
    bands = ask("quality_distribution")
    complete = ask("data_completeness")
    problems = ask("data_problems")
    wrong = [row for row in problems.records if row["affected"]]
    found = f"{len(wrong)} kinds of problems were" if wrong else "No problem was"
    return Section(
        name="data_quality",
        title="Quality of work and of data",
        lead=f"{found} found among the {problems.samples:,} executions of the last 48 hours.",
        tables=(
            _bars(
                Table(
                    name="quality_bands",
                    caption="Quality scores; the share is of the executions that have one",
                    columns=bands.columns,
                    rows=bands.records,
                    questions=("quality_distribution",),
                ),
                "Quality scores by band",
                "executions",
            ),
            _bars(
                Table(
                    name="data_completeness",
                    caption="How many executions have which figure",
                    columns=complete.columns,
                    rows=complete.records,
                    questions=("data_completeness",),
                ),
                "Executions that have a figure",
                "share",
            ),
            Table(
                name="data_problems",
                caption="Executions of the last 48 hours that are not what the schema promises",
                columns=problems.columns,
                rows=problems.records,
                questions=("data_problems",),
            ),
        ),
    )


def _plain(answer: Answer, caption: str) -> Table:
    """The answer to a question as it is."""
    return Table(
        name=answer.question,
        caption=caption,
        columns=answer.columns,
        rows=answer.records,
        questions=(answer.question,),
    )


def _bars(table: Table, title: str, value: str) -> Table:
    """A table with a chart of bars, one for each of its rows."""
    label = table.columns[0]
    known = [row for row in table.rows if row[value]]
    most = max(known, key=lambda row: _number(row[value]), default=None)
    text = f"A bar for each row of the table: {title.lower()}."
    if most:
        text += f" The longest is {cut(str(most[label]), 40)}."
    chart = Chart(draws=f"bars {label} {value}", title=title, text=text)
    return replace(table, charts=_charts(known, chart), is_shown=False)


def _charts(rows: Sequence[object], *charts: Chart) -> tuple[Chart, ...]:
    """The charts, if there is anything to draw."""
    return charts if rows else ()


def _failing(row: dict[str, Scalar]) -> dict[str, Scalar]:
    return row | {"failures": int(_number(row["executions"]) - _number(row["successes"]))}


def _largest(rows: Records, column: str) -> Records:
    """The rows that have a value in a column, the largest first."""
    known = [row for row in rows if row[column] is not None]
    return sorted(known, key=lambda row: -_number(row[column]))


def _bounds(row: dict[str, Scalar]) -> tuple[float, float]:
    rate, samples = _number(row["success_rate"]), _number(row["usage_count"])
    return wilson_bounds(rate, samples, _CONFIDENCE)


def _number(value: Scalar) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
