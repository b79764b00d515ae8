"""Our SELECTs as Grafana's DuckDB plugin runs them: its macros and variables are the parameters.

A value that a person chooses arrives percent-encoded, so that whatever it holds is no SQL and no
macro; what stands for all values is the one that Grafana itself keeps for that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from dbmon_pipeline.core.common.instants import HOUR
from dbmon_pipeline.core.query.questions import Question, questions, read_question
from dbmon_pipeline.core.query.standalone_sql import fill_in

DATASOURCE_UID = "dbmon"
DATASOURCE_TYPE = "motherduck-duckdb-datasource"
ALL = "$__all"
"""The value of a variable that lets everything pass."""

_ALL_ENCODED = "%24__all"
_UNTIL = "CAST($__timeTo() AS TIMESTAMP)"
_SINCE = "date_trunc('hour', CAST($__timeFrom() AS TIMESTAMP))"
_TIME_SERIES, _TABLE = 0, 1
_NULL_WHERE_MISSING = 1


def find_question(name: str) -> Question:
    """Return a question of the catalogue, or one that only Grafana asks (``sql/grafana/``)."""
    return questions().get(name) or read_question("grafana", name)


def panel_sql(
    question: Question, columns: Sequence[str] = (), values: Mapping[str, str] | None = None
) -> str:
    """Write a question over a dashboard's range, from full hours on, with its variables as filters.

    Args:
        question: The question.
        columns: What of its answer is shown, as SQL; all if there are none.
        values: SQL for what else it asks for.
    """
    since = _SINCE
    if question.fixed_range:
        since = f"({_UNTIL} - INTERVAL {question.fixed_range // HOUR} HOUR)"
    filters = {name: _chosen(name) for name in question.filters}
    given = {"since": since, "until": _UNTIL, **filters, **(values or {})}
    select = re.sub(r"\A(--.*\n)+", "", fill_in(question.select, given)).strip()
    if not columns:
        return select
    order = "\nORDER BY time" if is_time_series(columns) else ""
    return f"SELECT {', '.join(columns)}\nFROM (\n{_indented(select)}\n){order}"


def variable_sql(column: str) -> str:
    """Return SQL for the choices of a variable: a column's values in the range of the dashboard."""
    return (
        f"SELECT DISTINCT {column} FROM daily_summary"  # noqa: S608 - a column of ours
        f" WHERE date >= CAST({_SINCE} AS DATE) AND date <= CAST({_UNTIL} AS DATE)"
        f" ORDER BY {column}"
    )


def plugin_query(sql: str, columns: Sequence[str] = ()) -> dict[str, object]:
    """Build a query as the plugin has it."""
    model: dict[str, object] = {
        "refId": "A",
        "datasource": {"type": DATASOURCE_TYPE, "uid": DATASOURCE_UID},
        "editorMode": "code",
        "rawQuery": True,
        "rawSql": sql,
        "format": _TABLE,
    }
    if is_time_series(columns):
        model |= {"format": _TIME_SERIES, "fillMode": {"mode": _NULL_WHERE_MISSING}}
    return model


def is_time_series(columns: Sequence[str]) -> bool:
    """Tell whether there is a column that says when."""
    return any(column == "time" or column.endswith(" AS time") for column in columns)


def _chosen(variable: str) -> str:
    return f"url_decode(nullif('${{{variable}:percentencode}}', '{_ALL_ENCODED}'))"


def _indented(text: str) -> str:
    return re.sub(r"(?m)^(?=.)", "    ", text)
