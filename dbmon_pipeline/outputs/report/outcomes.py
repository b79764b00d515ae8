"""The sections about what comes of work: what is slow or fails, what works, and how good it is."""

from __future__ import annotations

from dataclasses import replace

from dbmon_pipeline.core.common.rows import Rows, Scalar
from dbmon_pipeline.core.stats.bounds import wilson_bounds
from dbmon_pipeline.outputs.report.content import Chart, Section, Table
from dbmon_pipeline.outputs.report.tables import (
    MOST_ROWS,
    Ask,
    answer_table,
    number,
    sort_descending,
    with_bar_chart,
)

_CONFIDENCE = 0.975


def trouble(ask: Ask) -> Section:
    """Build the section about slow and failing work."""
    errors = ask("top_error_types")
    repos = [_failing(row) for row in ask("success_rate_by_repository").records]
    repos = sort_descending([row for row in repos if row["failures"]], "failures")
    slow = answer_table(
        ask("duration_by_model_tier"),
        "Durations by model tier; percentiles are within 1 % of the exact ones",
    )
    drawn = Chart(
        draws="durations",
        title="Durations by model tier",
        text="For each model tier a line from the median duration to that of 99 %, with a mark at"
        " 95 %.",
    )
    return Section(
        name="trouble",
        title="Slow and failing work",
        lead="",
        tables=(
            replace(
                slow,
                name="durations",
                is_shown=False,
                charts=(drawn,) if any(row["p50_seconds"] for row in slow.rows) else (),
            ),
            answer_table(ask("duration_by_pool_type"), "Durations by pool"),
            with_bar_chart(
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
            with_bar_chart(
                Table(
                    name="failing_repositories",
                    caption="The repositories with the most executions that did not succeed",
                    columns=("repo", "failures", "executions", "success_rate"),
                    rows=repos[:MOST_ROWS],
                    left_out=len(repos[MOST_ROWS:]),
                    questions=("success_rate_by_repository",),
                ),
                "Failures by repository",
                "failures",
            ),
        ),
    )


def patterns(found: Rows, as_of: str) -> Section:
    """Build the section about work that is done again and again, and whether it succeeds."""
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
        Table(name=name, caption=caption, columns=columns, rows=some[:MOST_ROWS])
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
    """Build the section about the quality of the work and of the data."""
    bands = ask("quality_distribution")
    complete = ask("data_completeness")
    problems = ask("data_problems")
    wrong = [row for row in problems.records if row["affected"]]
    kinds = "One kind of problem was" if len(wrong) == 1 else f"{len(wrong)} kinds of problems were"
    count = kinds if wrong else "No problem was"
    return Section(
        name="data_quality",
        title="Quality of work and of data",
        lead=f"{count} found among the {problems.samples:,} executions of the last 48 hours.",
        tables=(
            with_bar_chart(
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
            with_bar_chart(
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


def _failing(row: dict[str, Scalar]) -> dict[str, Scalar]:
    return row | {"failures": int(number(row["executions"]) - number(row["successes"]))}


def _bounds(row: dict[str, Scalar]) -> tuple[float, float]:
    rate, samples = number(row["success_rate"]), number(row["usage_count"])
    return wilson_bounds(rate, samples, _CONFIDENCE)
