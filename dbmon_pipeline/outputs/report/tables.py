"""Tables of answers, and charts of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from heapq import nlargest

from dbmon_pipeline.core.common.rows import Records, Scalar
from dbmon_pipeline.core.query.answers import Answer
from dbmon_pipeline.outputs.report.content import Chart, Table
from dbmon_pipeline.outputs.report.words import cut

Ask = Callable[[str], Answer]
"""Answers a question of the catalogue over the period of the report."""

MOST_ROWS = 10
MOST_KINDS = 25
"""Most rows for model tiers and pools: one wants to see all, if they are not countless."""


def answer_table(answer: Answer, caption: str, by: str = "executions") -> Table:
    """Build the table of an answer; of too many rows those with most of a column stay."""
    rows = top_rows(answer.records, by)
    return Table(
        name=answer.question,
        caption=caption,
        columns=answer.columns,
        rows=rows,
        questions=(answer.question,),
        left_out=len(answer.rows) - len(rows),
    )


def top_rows(rows: Records, column: str) -> Records:
    """Select the rows with most of a column, in the order that they had."""
    places = nlargest(MOST_KINDS, range(len(rows)), key=lambda place: number(rows[place][column]))
    return [rows[place] for place in sorted(places)]


def with_bar_chart(table: Table, title: str, value: str) -> Table:
    """Add a chart to a table, with a bar for each of its rows."""
    label = table.columns[0]
    known = [row for row in table.rows if row[value]]
    most = max(known, key=lambda row: number(row[value]), default=None)
    text = f"A bar for each row of the table: {title.lower()}."
    if most:
        text += f" The longest is {cut(str(most[label]), 40)}."
    chart = Chart(draws=f"bars {label} {value}", title=title, text=text)
    return replace(table, charts=(chart,) if known else (), is_shown=False)


def sort_descending(rows: Records, column: str) -> Records:
    """Sort the rows that have a value in a column, the largest first."""
    known = [row for row in rows if row[column] is not None]
    return sorted(known, key=lambda row: -number(row[column]))


def number(value: Scalar) -> float:
    """Convert a value to count with; what is not known counts nothing."""
    return float(value) if isinstance(value, int | float) else 0.0
