"""Dashboard as Grafana has it: its panels, variables, links, and a mark per incident."""

from __future__ import annotations

import json

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.outputs.grafana.panel import PluginQuery, datasource_ref, panel
from dbmon_pipeline.outputs.grafana.panel_spec import Board
from dbmon_pipeline.outputs.grafana.sql import (
    ALL,
    find_question,
    panel_sql,
    plugin_query,
    variable_sql,
)

_TAG = "dbmon"
_UNKNOWN = ("auto", "auto_count", "auto_min", "footer")
_LINKS = {
    "Checks in Dagster": "${dagster:raw}/assets/check_history?view=checks",
    "Runbook": "${runbook:raw}",
}
_MARK = (
    "started_at AS time",
    'ended_at AS "timeEnd"',
    "rule || ' is ' || worst AS title",
    # Grafana shows a text as HTML.
    "replace(replace(left(first_said, 500), '&', '&amp;'), '<', '&lt;') AS text",
    "rule || ',' || worst AS tags",
)


def dashboard_json(board: Board, config: MonitoringConfig) -> str:
    """Render the file of a dashboard.

    Args:
        board: What it shows.
        config: The rules, for their limits.
    """
    made = (
        builders.Dashboard(board.title)
        .uid(board.uid)
        .description(board.about)
        .tags([_TAG])
        .readonly()
        .timezone("utc")
        .time(board.since, "now")
        .refresh("1m")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .annotation(_incidents())
    )
    for link in _links():
        made.link(link)
    for name in board.variables:
        made.with_variable(_variable(name))
    for name in ("dagster", "runbook"):
        made.with_variable(_hidden(name))
    for number, shown in enumerate(board.shown, 1):
        rule = config.rules.get(shown.rule or "")
        made.with_panel(panel(number, shown, rule if rule and rule.enabled else None))
    plain = json.loads(JSONEncoder().encode(made.build()), object_hook=_without_defaults)
    return json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _without_defaults(part: dict[str, object]) -> dict[str, object]:
    """Leave out what the library sets and Grafana does not know, and by which it hides links."""
    return {
        name: value
        for name, value in part.items()
        if name not in _UNKNOWN and value != "inControlsMenu"
    }


def _links() -> list[builders.DashboardLink]:
    others = builders.DashboardLink("dbmon").type(models.DashboardLinkType.DASHBOARDS)
    return [
        others.tags([_TAG]).keep_time(True).include_vars(True).as_dropdown(True),
        *(
            builders.DashboardLink(title)
            .type(models.DashboardLinkType.LINK)
            .url(url)
            .target_blank(True)
            for title, url in _LINKS.items()
        ),
    ]


def _variable(name: str) -> builders.QueryVariable:
    return (
        builders.QueryVariable(name)
        .label(name.replace("_", " "))
        .datasource(datasource_ref())
        .query(variable_sql(name))
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(True)
        .all_value(ALL)
        .current(models.VariableOption(selected=True, text="All", value=ALL))
    )


def _hidden(name: str) -> builders.QueryVariable:
    select = f"SELECT {name} FROM links"  # noqa: S608 - a column of ours
    return (
        builders.QueryVariable(name)
        .hide(models.VariableHide.HIDE_VARIABLE)
        .datasource(datasource_ref())
        .query(select)
        .refresh(models.VariableRefresh.ON_DASHBOARD_LOAD)
    )


def _incidents() -> builders.AnnotationQuery:
    select = panel_sql(find_question("incidents"), _MARK)
    made = builders.AnnotationQuery().name("Incidents").enable(True).icon_color("red")
    made.datasource(datasource_ref())
    made.target(PluginQuery(plugin_query(select)))
    return made
