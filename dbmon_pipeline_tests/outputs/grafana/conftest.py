"""A home in which all goes wrong twice, and what is exported for it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.learning_db.sample import Scenario, make_sample
from dbmon_pipeline.outputs.grafana.export import export
from dbmon_pipeline_tests.helpers import add_rows, change_source, execution, refresh_core
from dbmon_pipeline_tests.outputs.grafana.plugin import ENGINE, interpolated
from dbmon_pipeline_tests.outputs.grafana.telling import Told, firing

AS_OF = datetime.fromisoformat("2026-02-10T12:34:56")
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
SILENT, FAILING, WELL, FAILING_AGAIN = AS_OF - 8 * HOUR, AS_OF - 4 * HOUR, AS_OF - HOUR, AS_OF
"""How the time before each refresh was."""
HOSTILE = "<script>alert(1)</script>'; DROP TABLE x;--"
ODD = ['say "hi"', "a\nb", "$__timeFrom()", "100 %", "😀", "x" * 10_000, "NULL", "back\\slash"]
RULES = """
rules:
  errors by repo: {measurement: error_rate, by: repo, above: {warning: 0.1, critical: 0.25}}
  database_size: {above: {warning: 0.1}}
  success_slo: {enabled: true, target: 0.95}
"""


@dataclass(frozen=True)
class Exported:
    """What was exported.

    Attributes:
        folder: Where it lies.
        settings: Whose rules and published files it is for.
        told: What Grafana told right after each refresh, and four hours later.
    """

    folder: Path
    settings: Settings
    told: dict[datetime, list[Told]] = field(default_factory=dict)

    def document(self, path: str) -> Any:
        """A file of it, read."""
        text = (self.folder / path).read_text("utf-8")
        return json.loads(text) if path.endswith(".json") else yaml.safe_load(text)

    @property
    def dashboards(self) -> dict[str, Any]:
        """Every dashboard by its name."""
        paths = sorted((self.folder / "dashboards").glob("*.json"))
        return {path.stem: self.document(f"dashboards/{path.name}") for path in paths}

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """Every alert rule."""
        groups = self.document("alerting/rules.yaml")["groups"]
        return [{**rule, "group": group} for group in groups for rule in group["rules"]]

    @property
    def init(self) -> str:
        """What a connection begins with, in the environment of this home's Grafana."""
        [source] = self.document("datasources/dbmon.yaml")["datasources"]
        environ = {
            "DBMON_PUBLISHED": str(self.settings.home.published),
            "DBMON_DAGSTER_URL": "https://dagster.example",
        }
        return interpolated(source["jsonData"]["initSql"], environ)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A home refreshed four times, and its export."""
    folder = tmp_path_factory.mktemp("grafana")
    (folder / "rules.yaml").write_text(RULES)
    environ = {"DBMON_CONFIG": str(folder / "rules.yaml")}
    settings = Settings.load(folder / "learning.db", folder / "home", environ=environ)
    _make(settings.source)
    made = Exported(folder / "exported", settings)
    export(settings.config, made.folder)
    for at in (SILENT, FAILING, WELL, FAILING_AGAIN):
        refresh_core(settings, at)
        if ENGINE.is_dir():
            made.told[at] = firing(made.init, made.alerts, at, at + 4 * HOUR)
    return made


def _make(source: Path) -> None:
    """Fifteen days in which an hour is silent and two fail, and names of every kind."""
    make_sample(
        source,
        rows=3000,
        days=15,
        end=AS_OF,
        seed=1,
        scenario=Scenario.INCIDENT,
        embeddings=False,
    )
    change_source(
        source,
        "DELETE FROM executions WHERE timestamp >= $start AND timestamp < $end",
        start=SILENT - HOUR,
        end=SILENT,
    )
    failing = [
        execution(
            end - n * MINUTE,
            success=False,
            error_type="timeout",
            repo=HOSTILE if n % 2 else "org/api",
        )
        for end in (FAILING, FAILING_AGAIN)
        for n in range(1, 40)
    ]
    usual = [
        execution(SILENT - week * timedelta(weeks=1) + n * 6 * MINUTE)
        for week in (1, 2)
        for n in range(-15, 15)
    ]
    named = [
        execution(
            AS_OF - (2 * n + 1) * 2 * HOUR - 7 * MINUTE,
            repo=name,
            success=n % 2 == 0,
            error_type=None if n % 2 == 0 else HOSTILE,
            error_message=None if n % 2 == 0 else HOSTILE,
            solution_summary=HOSTILE,
        )
        for n, name in enumerate([HOSTILE, *ODD] * 5)
    ]
    add_rows(source, [*failing, *usual, *named])
