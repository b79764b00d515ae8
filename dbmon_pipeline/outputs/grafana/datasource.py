"""The datasource: an in-memory DuckDB that finds the published files under the tables' names.

A file opened by the plugin would be locked, and would not be seen to be swapped.
"""

from __future__ import annotations

from dbmon_pipeline.core.query.questions import questions
from dbmon_pipeline.core.query.standalone_sql import definitions
from dbmon_pipeline.core.schema.catalogue import PUBLISHED, REFRESH_HISTORY
from dbmon_pipeline.outputs.grafana.sql import DATASOURCE_TYPE, DATASOURCE_UID

PUBLISHED_VARIABLE = "$DBMON_PUBLISHED"
"""The folder that readers know, from the environment of Grafana."""

_NOT_ALWAYS_THERE = frozenset({REFRESH_HISTORY.name})
"""What a generation of an older version lacks: read through the macro ``published``."""


def init_sql() -> str:
    """What the plugin begins with.

    It runs this on the first of its connections alone, so nothing here is temporary; and a
    statement that fails takes every panel with it, so no view is made of a table that may be
    missing.

    Grafana puts its environment in place of ``$NAME`` in this text, so no other ``$`` is in it.
    """
    places = {table: f"{PUBLISHED_VARIABLE}/current/{table}/*.parquet" for table in PUBLISHED}
    always = {table: place for table, place in places.items() if table not in _NOT_ALWAYS_THERE}
    select = "\n".join(question.select for question in questions().values())
    made = (line.replace(" TEMP ", " ", 1) for line in definitions(always, select))
    published = (
        "CREATE OR REPLACE MACRO published(name) AS TABLE FROM"
        f" read_parquet('{PUBLISHED_VARIABLE}/current/' || name || '/*.parquet');"
    )
    links = (
        "CREATE OR REPLACE VIEW links AS"
        " SELECT '$DBMON_DAGSTER_URL' AS dagster, '$DBMON_RUNBOOK_URL' AS runbook;"
    )
    return "\n".join([*made, published, links])


def datasource() -> dict[str, object]:
    """The provisioning of the datasource."""
    return {
        "apiVersion": 1,
        "datasources": [
            {
                "name": "dbmon",
                "uid": DATASOURCE_UID,
                "type": DATASOURCE_TYPE,
                "access": "proxy",
                "editable": False,
                "jsonData": {"path": "", "initSql": init_sql()},
            }
        ],
    }


def dashboard_provider() -> dict[str, object]:
    """The provisioning of the dashboards: where their files lie."""
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": "dbmon",
                "folder": "dbmon",
                "type": "file",
                "allowUiUpdates": False,
                "options": {"path": "/etc/grafana/provisioning/dashboards"},
            }
        ],
    }
