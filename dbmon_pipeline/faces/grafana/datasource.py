"""The datasource: an in-memory DuckDB that finds the published files under the tables' names.

A file opened by the plugin would be locked, and would not be seen to be swapped.
"""

from __future__ import annotations

from dbmon_pipeline.core.catalogue import PUBLISHED
from dbmon_pipeline.core.paste import definitions
from dbmon_pipeline.core.questions import questions
from dbmon_pipeline.faces.grafana.sql import DATASOURCE_TYPE, DATASOURCE_UID

PUBLISHED_VARIABLE = "$DBMON_PUBLISHED"
"""The folder that readers know, from the environment of Grafana."""


def init_sql() -> str:
    """What each connection of the plugin begins with.

    Grafana puts its environment in place of ``$NAME`` in this text, so no other ``$`` is in it.
    """
    places = {table: f"{PUBLISHED_VARIABLE}/current/{table}/*.parquet" for table in PUBLISHED}
    select = "\n".join(question.select for question in questions().values())
    links = (
        "CREATE OR REPLACE TEMP VIEW links AS"
        " SELECT '$DBMON_DAGSTER_URL' AS dagster, '$DBMON_RUNBOOK_URL' AS runbook;"
    )
    return "\n".join([*definitions(places, select), links])


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
