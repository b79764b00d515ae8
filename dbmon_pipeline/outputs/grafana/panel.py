"""Panel as Grafana has it: chart, units, limits and colours."""

from __future__ import annotations

import re
from typing import Any

from grafana_foundation_sdk.builders import (
    barchart,
    common,
    dashboard,
    gauge,
    piechart,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

from dbmon_pipeline.core.config.rule import Limits, Rule
from dbmon_pipeline.outputs.grafana.panel_spec import UNITS, PanelSpec, unit_of
from dbmon_pipeline.outputs.grafana.sql import DATASOURCE_TYPE, DATASOURCE_UID, plugin_query

_BUILDERS: dict[str, Any] = {
    "bar chart": barchart.Panel,
    "gauge": gauge.Panel,
    "histogram": barchart.Panel,
    "pie chart": piechart.Panel,
    "stat": stat.Panel,
    "state timeline": statetimeline.Panel,
    "table": table.Panel,
    "time series": timeseries.Panel,
}
_WITH_AXIS = ("bar chart", "histogram")
_LEGENDS: dict[str, Any] = {
    "bar chart": common.VizLegendOptions,
    "pie chart": piechart.PieChartLegendOptions,
    "time series": common.VizLegendOptions,
}
_WITH_NAMES = ("gauge", "stat", "time series")
_GOOD, _WARNING, _CRITICAL, _UNKNOWN = "green", "orange", "red", "gray"
_VERDICTS = {
    "ok": ("0", _GOOD),
    "warning": ("1", _WARNING),
    "critical": ("2", _CRITICAL),
    "insufficient_data": ("-1", _UNKNOWN),
}
"""Each with its number in verdicts_over_time, and its colour."""


class PluginQuery(Dataquery, Builder[Dataquery]):
    """A query of the plugin, which the library does not know; it is its own builder."""

    def __init__(self, model: dict[str, object]) -> None:
        """Keep what the plugin is given."""
        self._model = model

    def build(self) -> PluginQuery:
        """Return itself."""
        return self

    def to_json(self) -> dict[str, object]:
        """Return the query in the form that the plugin is given."""
        return self._model


def datasource_ref() -> common_models.DataSourceRef:
    """Build the reference to the datasource of all panels."""
    return common_models.DataSourceRef(type_val=DATASOURCE_TYPE, uid=DATASOURCE_UID)


def panel(number: int, shown: PanelSpec, rule: Rule | None) -> Builder[models.Panel]:
    """Build a panel of a dashboard.

    Args:
        number: Its number there.
        shown: What it shows.
        rule: The rule whose limits it shows, if it is enabled.
    """
    chart = shown.chart or shown.asked.chart
    made: Any = (
        _BUILDERS[chart]()
        .id(number)
        .title(shown.title)
        .description(shown.asked.row)
        .datasource(datasource_ref())
        .span(shown.width)
        .height(shown.height)
        .with_target(PluginQuery(plugin_query(shown.sql, shown.columns)))
    )
    match chart:
        case "gauge" | "stat":
            made.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        case "pie chart":
            made.reduce_options(common.ReduceDataOptions().values(True).calcs([]))
        case _ if chart in _WITH_AXIS:
            made.x_field(shown.names[0])
        case "state timeline":
            made.mappings([_mapping(by_number=True)])
    if chart in _LEGENDS:
        legend = _LEGENDS[chart]().show_legend(True).placement(common_models.LegendPlacement.BOTTOM)
        made.legend(legend.display_mode(common_models.LegendDisplayMode.LIST))
    _name_fields(made, shown, chart)
    if chart == "gauge":
        made.min(0).max(1)
    if rule and rule.limits != Limits():
        limits = dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE)
        made.thresholds(limits.steps(_steps(rule)))
        if chart == "time series":
            style = common.GraphThresholdsStyleConfig()
            made.thresholds_style(style.mode(common_models.GraphThresholdsStyleMode.DASHED))
        elif chart != "table":
            made.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
    built: Builder[models.Panel] = made
    return built


def _name_fields(made: stat.Panel, shown: PanelSpec, chart: str) -> None:
    """Give what is shown its units, and lines and figures their names."""
    if shown.series:
        made.unit(shown.unit or unit_of(shown.names[-1]) or "short")
        made.display_name(f"${{__field.labels.{shown.series}}}")
        return
    for column in shown.names:
        if column == "time":
            continue
        properties = [_property("unit", unit_of(column) or "short")]
        if chart in _WITH_NAMES:
            name = re.sub("_(seconds|ms)$", "", column).replace("_", " ")
            properties.append(_property("displayName", name))
        made.override_by_name(column, properties)
    if not shown.names:
        for word, unit in UNITS.items():
            if re.search(rf"{word}\b", shown.asked.select):
                made.override_by_regexp(f"/(^|_){word}$/", [_property("unit", unit)])
        for column in ("verdict", "worst"):
            if re.search(rf"\b{column}\b", shown.asked.select):
                made.override_by_name(column, [_property("mappings", [_mapping(by_number=False)])])


def _property(name: str, value: object) -> models.DynamicConfigValue:
    return models.DynamicConfigValue(id_val=name, value=value)


def _mapping(*, by_number: bool) -> models.ValueMap:
    return models.ValueMap(
        options={
            number if by_number else verdict: models.ValueMappingResult(
                text=verdict.replace("_", " "), color=color, index=index
            )
            for index, (verdict, (number, color)) in enumerate(_VERDICTS.items())
        }
    )


def _steps(rule: Rule) -> list[models.Threshold]:
    """Convert the limits of a rule to Grafana's: colours from the lowest value up."""
    limits = sorted(
        (limit, color)
        for limit, color in ((rule.limits.warning, _WARNING), (rule.limits.critical, _CRITICAL))
        if limit is not None
    )
    colors = [color for _, color in limits]
    colors = [*colors, _GOOD] if rule.below else [_GOOD, *colors]
    return [
        models.Threshold(value=value, color=color)
        for value, color in zip((None, *(limit for limit, _ in limits)), colors, strict=True)
    ]
