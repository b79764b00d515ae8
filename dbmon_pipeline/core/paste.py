"""A question as SQL that stands alone, to paste into the duckdb shell."""

from __future__ import annotations

import re
from datetime import datetime

from dbmon_pipeline.core.duck import quoted
from dbmon_pipeline.core.published import Published
from dbmon_pipeline.core.questions import Question
from dbmon_pipeline.core.ranges import TimeRange
from dbmon_pipeline.core.relations import macros_used, tables_read


def pasteable(
    question: Question, published: Published, time_range: TimeRange, as_of: datetime
) -> str:
    """The SQL of a question, over the published files, with all that it needs.

    Ranges up to 24 hours fall on full hours here. Filters are NULL, for a person to fill in.

    Args:
        question: The question.
        published: Whose files are read.
        time_range: How far back to look.
        as_of: The instant to speak for.

    Raises:
        NotPublishedError: A table that it reads is not published.
    """
    length = question.fixed_range or time_range.length
    window = published.window(length, as_of, to_the_second=False)
    lines = ["SET TimeZone = 'UTC';"]
    for table in sorted(tables_read(question.select)):
        pattern = published.files(table)[0].parent / "*.parquet"
        lines.append(
            f"CREATE OR REPLACE TEMP VIEW {table} AS FROM read_parquet({quoted(pattern)});"
        )
    macros = macros_used(question.select).values()
    lines += [f"CREATE OR REPLACE TEMP MACRO {macro};" for macro in macros]
    values = {
        "since": f"TIMESTAMP '{window.start}'",
        "until": f"TIMESTAMP '{window.end}'",
        **dict.fromkeys(question.filters, "NULL"),
    }
    text = re.sub(r"\$(\w+)", lambda name: values[name[1]], question.select)
    return "\n".join([*lines, f"{text.strip()};"])
