"""Redacting what is published once more, after the patterns have changed.

What the source still holds is read again. Texts of other days are redacted where they stand; where
two texts become one, the patterns of days that are counted by their keys merge.
"""

from __future__ import annotations

from functools import partial

import duckdb

from dbmon_pipeline.core.generation.writer import DraftWriter
from dbmon_pipeline.core.rollup.patterns import KEY
from dbmon_pipeline.core.schema.catalogue import TABLES
from dbmon_pipeline.core.source.redaction import Redactor

_TEXTS = {
    "error_summary": ("example_message",),
    "daily_error_summary": ("example_message",),
    "recent_executions": ("error_message", "solution_summary"),
    "solution_patterns": ("solution_summary",),
}
"""The columns of free text of published tables."""
_RENAMED = "renamed_patterns"


def redact_published(
    con: duckdb.DuckDBPyConnection, writer: DraftWriter, redactor: Redactor
) -> None:
    """Have the texts before read without what they must lose now."""
    _rename_patterns(con, writer, redactor)
    for name, columns in _TEXTS.items():
        replaced = ", ".join(f"{redactor.expression(column)} AS {column}" for column in columns)
        writer.transform(name, partial("SELECT * REPLACE ({}) FROM ({})".format, replaced))
    writer.transform("daily_patterns", _with_new_keys)


def _rename_patterns(
    con: duckdb.DuckDBPyConnection, writer: DraftWriter, redactor: Redactor
) -> None:
    """Find the patterns whose text, and so whose key, is another one now."""
    table = TABLES["solution_patterns"]
    relation = writer.relation(table.name, writer.before(table.name)) or f"{table.name}"
    con.execute(
        f"""
        CREATE OR REPLACE TABLE {_RENAMED} AS
        SELECT repo, old_key, {KEY.format("text")} AS new_key FROM (
            SELECT
                repo, {KEY.format("solution_summary")} AS old_key,
                {redactor.expression("solution_summary")} AS text
            FROM {relation}
        ) WHERE old_key <> new_key
        """
    )


def _with_new_keys(rows: str) -> str:
    return f"""
        SELECT
            date,
            p.repo,
            coalesce(new_key, pattern_key) AS pattern_key,
            CAST(sum(usage_count) AS BIGINT) AS usage_count,
            CAST(sum(success_count) AS BIGINT) AS success_count,
            CAST(sum(quality_count) AS BIGINT) AS quality_count,
            CAST(sum(quality_sum) AS BIGINT) AS quality_sum,
            min(first_seen) AS first_seen,
            nullif(max(coalesce(last_seen, first_seen)), min(first_seen)) AS last_seen
        FROM ({rows}) AS p
        LEFT JOIN {_RENAMED} AS r ON p.repo = r.repo AND p.pattern_key = r.old_key
        GROUP BY ALL
    """
