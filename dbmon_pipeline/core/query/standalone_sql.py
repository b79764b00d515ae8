"""Questions as SQL that stands alone: for the duckdb shell, or a tool that runs it itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from dbmon_pipeline.core.common.duck import quoted
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.query.questions import Question
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.core.query.workspace import macros_used, tables_read


def standalone_sql(
    question: Question, published: Published, time_range: TimeRange, as_of: datetime
) -> str:
    """Write the SQL of a question over the published files, with all that it needs.

    Ranges up to 24 hours fall on full hours here. Filters are NULL, for a person to fill in.

    Args:
        question: The question.
        published: Whose files are read.
        time_range: How far back to look.
        as_of: The instant to speak for.

    Raises:
        NotPublishedError: A table that it reads is not published.
    """
    window = (
        published.rows_window(question.fixed_range, as_of)
        if question.fixed_range
        else published.hours_window(time_range.length, as_of)
    )
    places = {
        table: str(Path(published.patterns(table)[0]).parent / "*.parquet")
        for table in sorted(tables_read(question.select))
    }
    values = {
        "since": f"TIMESTAMP '{window.start}'",
        "until": f"TIMESTAMP '{window.end}'",
        **dict.fromkeys(question.filters, "NULL"),
    }
    text = fill_in(question.select, values)
    return "\n".join(
        ["SET TimeZone = 'UTC';", *definitions(places, question.select), f"{text.strip()};"]
    )


def definitions(places: Mapping[str, str], select: str) -> list[str]:
    """Write the statements that give a connection the tables and macros of a SELECT.

    Args:
        places: The files of each table that is to be found, as a pattern.
        select: What is to be run.
    """
    views = [
        f"CREATE OR REPLACE TEMP VIEW {table} AS FROM read_parquet({quoted(files)});"
        for table, files in places.items()
    ]
    macros = macros_used(select).values()
    return [*views, *(f"CREATE OR REPLACE TEMP MACRO {macro};" for macro in macros)]


def fill_in(select: str, values: Mapping[str, str]) -> str:
    """Fill SQL into a SELECT in place of its parameters."""
    return re.sub(r"\$(\w+)", lambda name: values[name[1]], select)
