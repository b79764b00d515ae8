"""Content of dashboards: panels over questions, and the limits shown beside the figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dbmon_pipeline.core.config.rule import RATES
from dbmon_pipeline.core.query.questions import FILTERS, Question
from dbmon_pipeline.outputs.grafana.sql import find_question, panel_sql

UNITS = {
    "seconds": "s",
    "ms": "ms",
    "mb": "decmbytes",
    "rate": "percentunit",
    "share": "percentunit",
    "cost": "currencyUSD",
    "savings": "currencyUSD",
    "estimate": "currencyUSD",
}
"""Grafana's unit for a column whose name ends so."""

_UNITS_OF_MEASUREMENTS = {
    **dict.fromkeys(RATES, "percentunit"),
    "database_size": "decmbytes",
    "source_freshness": "s",
    "cost_budget": "currencyUSD",
}


@dataclass(frozen=True, kw_only=True)
class PanelSpec:
    """Panel of a dashboard.

    Attributes:
        title: What stands above it.
        question: The question that it answers.
        columns: What of the answer it shows, as SQL; all if there are none.
        chart: How, unless as suits the question best.
        rule: The rule whose limits it shows.
        series: The column by whose values there is a line each.
        unit: The unit of what it shows, unless the names of the columns say so.
        values: SQL for what else the question asks for.
        width: How wide it is, of 24.
        height: How high it is.
    """

    title: str
    question: str
    columns: tuple[str, ...] = ()
    chart: str | None = None
    rule: str | None = None
    series: str | None = None
    unit: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    width: int = 12
    height: int = 8

    @property
    def asked(self) -> Question:
        """The question itself."""
        return find_question(self.question)

    @property
    def sql(self) -> str:
        """The SQL that the plugin runs."""
        return panel_sql(self.asked, self.columns, self.values)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns that are named."""
        return tuple(column.rpartition(" AS ")[2] for column in self.columns)


@dataclass(frozen=True, kw_only=True)
class Board:
    """Dashboard: its title, panels and range.

    Attributes:
        name: Its file, and the end of its identifier.
        title: What stands above it.
        about: What it is for, in a sentence.
        shown: Its panels, in their order.
        since: From when on it shows, as Grafana says it.
    """

    name: str
    title: str
    about: str
    shown: tuple[PanelSpec, ...]
    since: str = "now-7d"

    @property
    def uid(self) -> str:
        """Its identifier in Grafana."""
        return f"dbmon-{self.name}"

    @property
    def variables(self) -> tuple[str, ...]:
        """The filters that its panels have."""
        used = {name for shown in self.shown for name in shown.asked.filters}
        return tuple(name for name in FILTERS if name in used)

    def panel_of(self, rule: str) -> int:
        """Return the number of the panel that shows the values of a rule."""
        return 1 + next(
            place
            for place, shown in enumerate(self.shown)
            if shown.rule == rule and shown.question == "rule_values"
        )


def unit_of(column: str) -> str | None:
    """Return Grafana's unit for a column; its name says what it is in, and a cost is in USD."""
    return UNITS.get(column.rpartition("_")[2])


def unit_of_measurement(measurement: str) -> str | None:
    """Return Grafana's unit for the value of a rule."""
    return _UNITS_OF_MEASUREMENTS.get(measurement)
