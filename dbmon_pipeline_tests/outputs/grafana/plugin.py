"""What Grafana and its DuckDB plugin do with our files, written down from their sources.

Provisioning puts the environment in place of ``$NAME`` and ``${NAME}`` (``$$`` is a dollar), a
dashboard puts percent-encoded values in place of ``${NAME:percentencode}``, and the plugin quoted
instants in place of ``$__timeFrom()`` and ``$__timeTo()``. Then its engine runs the SQL.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

ENGINE = Path(__file__).resolve().parents[3] / ".cache" / "duckdb-grafana"
VERSION = "1.5.4"
ALL = "$__all"

needs_engine = pytest.mark.skipif(
    not (ENGINE / "duckdb").is_dir(),
    reason=f"needs DuckDB {VERSION}: make .cache/duckdb-grafana/.ready",
)

_WORKER = """
import datetime, json, sys, duckdb
asked = json.load(sys.stdin)
instance = duckdb.connect(config={"autoinstall_known_extensions": "false"})
for _ in range(2):  # The plugin begins a connection so, again where that has failed,
    instance.cursor().execute(asked["init"])
con = instance.cursor()  # and then no other one of its pool.
answers = {"version": duckdb.__version__}
for name, sql in asked["queries"].items():
    try:
        found = con.execute(sql)
        columns = [[column[0], str(column[1])] for column in found.description]
        rows = [
            [v.isoformat() if isinstance(v, datetime.date) else v for v in row]
            for row in found.fetchall()
        ]
        answers[name] = {"columns": columns, "rows": rows}
    except duckdb.Error as error:
        answers[name] = {"error": str(error)}
json.dump(answers, sys.stdout)
"""


@dataclass(frozen=True)
class Frame:
    """What a query gives.

    Attributes:
        columns: Names and types.
        rows: The values; an instant is text.
    """

    columns: list[tuple[str, str]]
    rows: list[list[Any]]

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [name for name, _ in self.columns]

    @property
    def records(self) -> list[dict[str, Any]]:
        """The rows by column."""
        return [dict(zip(self.names, row, strict=True)) for row in self.rows]


def interpolated(text: str, environ: Mapping[str, str]) -> str:
    """What provisioning makes of a text."""

    def value(found: re.Match[str]) -> str:
        return environ.get(found[1] or found[2], "")

    parts = text.split("$$")
    return "$".join(re.sub(r"\$(?:(\w+)|\{(\w+)\})", value, part) for part in parts)


def chosen(sql: str, values: Mapping[str, str]) -> str:
    """What a dashboard makes of a query: all values of a variable, unless one is chosen."""

    def value(found: re.Match[str]) -> str:
        return quote(values.get(found[1], ALL), safe="")

    return re.sub(r"\$\{(\w+):percentencode\}", value, sql)


def expanded(sql: str, since: datetime, until: datetime) -> str:
    """What the plugin makes of a query, in a dashboard or in an alert rule."""
    ready = sql.replace("$__timeFrom()", f"'{since:%Y-%m-%dT%H:%M:%SZ}'")
    ready = ready.replace("$__timeTo()", f"'{until:%Y-%m-%dT%H:%M:%SZ}'")
    assert "$" not in ready, ready
    return ready


def run(init: str, queries: Mapping[str, str]) -> dict[str, Frame]:
    """Run queries on the plugin's engine, in a process of its own that starts as the plugin does.

    Args:
        init: What a connection begins with.
        queries: Each by a name.
    """
    done = subprocess.run(
        [sys.executable, "-c", _WORKER],
        input=json.dumps({"init": init, "queries": queries}),
        env={**os.environ, "PYTHONPATH": str(ENGINE), "TZ": "America/New_York"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert answers.pop("version") == VERSION
    failed = {name: answer["error"] for name, answer in answers.items() if "error" in answer}
    assert failed == {}, failed
    return {
        name: Frame([(column, kind) for column, kind in answer["columns"]], answer["rows"])
        for name, answer in answers.items()
    }
