"""The datasource: an in-memory DuckDB that finds the published files under the tables' names.

A file opened by the plugin would be locked, and would not be seen to be swapped.
"""

from __future__ import annotations

from dbmon_pipeline.core.query.questions import questions
from dbmon_pipeline.core.query.standalone_sql import definitions
from dbmon_pipeline.core.schema.catalogue import TABLES
from dbmon_pipeline.outputs.grafana.sql import DATASOURCE_TYPE, DATASOURCE_UID

PUBLISHED_VARIABLE = "$DBMON_PUBLISHED"
"""The folder that readers know, from the environment of Grafana."""


def init_sql() -> str:
    """Write the SQL that the plugin begins with.

    It runs this on the first of its connections alone, so nothing here is temporary; and a
    statement that fails takes every panel with it.

    Grafana puts its environment in place of ``$NAME`` in this text, so no other ``$`` is in it.
    """
    places = {table: f"{PUBLISHED_VARIABLE}/current/{table}/*.parquet" for table in TABLES}
    select = "\n".join(question.select for question in questions().values())
    made = (line.replace(" TEMP ", " ", 1) for line in definitions(places, select))
    links = (
        "CREATE OR REPLACE VIEW links AS"
        " SELECT '$DBMON_DAGSTER_URL' AS dagster, '$DBMON_RUNBOOK_URL' AS runbook;"
    )
    return "\n".join([*made, links])


def datasource() -> dict[str, object]:
    """Build the provisioning of the datasource."""
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
    """Build the provisioning of the dashboards: where their files lie."""
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
