"""Sources for the bench, made by their owner: ``python -m ...sources WHAT PATH ...`` makes one."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path

from dbmon_pipeline.core.common.duck import connect, quoted
from dbmon_pipeline.core.learning_db.create import creating
from dbmon_pipeline_tests.helpers import execution, make_source

END = datetime(2026, 11, 20, 12)
"""Noon of a working day: half of the day that the next hour belongs to is there already."""
_FEW = 100
_LONG_TEXT = 500
_WORDS = (
    *("about", "branch", "cache", "client", "column", "config", "cursor", "deploy", "driver"),
    *("event", "export", "field", "filter", "flag", "format", "handle", "header", "import"),
    *("index", "input", "join", "label", "limit", "merge", "method", "migrate", "module", "order"),
    *("output", "parse", "patch", "path", "pool", "query", "queue", "retry", "schema", "test"),
)
"""Words that long texts are made of, so that they compress as texts do."""

_NEXT_HOUR = """
    INSERT INTO executions BY NAME
    SELECT * REPLACE (uuid() AS task_id, timestamp + INTERVAL 1 HOUR AS timestamp)
    FROM executions WHERE timestamp >= CAST($until AS TIMESTAMP) - INTERVAL 1 HOUR
"""

_LATEST = """
    INSERT INTO executions BY NAME
    SELECT * FROM longer.main.executions WHERE timestamp >= (
        SELECT min(timestamp) FROM (
            SELECT timestamp FROM longer.main.executions ORDER BY timestamp DESC LIMIT {rows}
        )
    )
"""

_WITH_TEXTS = """
    INSERT INTO executions BY NAME
    SELECT * REPLACE (
        CASE WHEN error_message IS NOT NULL THEN {error} END AS error_message,
        CASE WHEN solution_summary IS NOT NULL THEN {summary} END AS solution_summary
    )
    FROM other.main.executions
"""
_UNIQUE = "{name} || ' for ticket ' || (hash(task_id) % 1000000000000000)"
_LONG = (
    f"left({_UNIQUE} || ' ' || array_to_string(list_transform(range({_LONG_TEXT // 5}), lambda i:"
    f" {[*_WORDS]}[1 + CAST(hash(task_id, i, '{{name}}') % {len(_WORDS)} AS INTEGER)]), ' '),"
    f" {_LONG_TEXT})"
)


def cut(path: Path, longer: Path, rows: int) -> None:
    """Make a source of the latest rows of another one."""
    with creating(path) as con:
        con.execute(f"ATTACH {quoted(longer)} AS longer (READ_ONLY)")
        con.execute(_LATEST.format(rows=rows))
        con.execute("DETACH longer")


def add_hour(path: Path, until: datetime) -> None:
    """Add an hour that is like the last one, which ended then."""
    with connect(path) as con:
        con.execute(_NEXT_HOUR, {"until": until})


def with_texts(path: Path, other: Path, text: str) -> None:
    """Make a source of the rows of another one, in which each text is unique."""
    texts = {
        short: text.format(name=name)
        for short, name in (("error", "error_message"), ("summary", "solution_summary"))
    }
    with creating(path) as con:
        con.execute(f"ATTACH {quoted(other)} AS other (READ_ONLY)")
        con.execute(_WITH_TEXTS.format(**texts))
        con.execute("DETACH other")


def few(path: Path, end: datetime, apart: timedelta) -> None:
    """Make a source of a hundred executions, so far apart, up to an instant."""
    make_source(
        path,
        (
            execution(end - number * apart, solution_summary="Retry", duration_seconds=number)
            for number in range(1, _FEW + 1)
        ),
    )


def main() -> None:
    """Make one source, or let its owner add to it."""
    what, name, *rest = sys.argv[1:]
    path = Path(name)
    match what, rest:
        case "cut", [longer, rows]:
            cut(path, Path(longer), int(rows))
        case "add-hour", [until]:
            add_hour(path, datetime.fromisoformat(until))
        case "unique-texts", [other]:
            with_texts(path, Path(other), _UNIQUE)
        case "long-texts", [other]:
            with_texts(path, Path(other), _LONG)
        case "few", [end, minutes]:
            few(path, datetime.fromisoformat(end), timedelta(minutes=int(minutes)))
        case _:
            sys.exit(f"unknown source: {what}")
    sys.stdout.write("null")


if __name__ == "__main__":
    main()
