"""A home with an incident in it, and what is exported for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from dbmon_pipeline.core.sample import Scenario, make_sample
from dbmon_pipeline.core.settings import Settings
from dbmon_pipeline.faces.grafana.export import export
from dbmon_pipeline_tests.faces.grafana.plugin import interpolated
from dbmon_pipeline_tests.helpers import add_rows, execution, refresh_core, settings_for

AS_OF = datetime.fromisoformat("2026-02-10T12:34:56")
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
HOSTILE = "<script>alert(1)</script>'; DROP TABLE x;--"
ODD = ['say "hi"', "a\nb", "$__timeFrom()", "100 %", "😀", "x" * 10_000, "NULL", "back\\slash"]


@dataclass(frozen=True)
class Exported:
    """What was exported.

    Attributes:
        folder: Where it lies.
        settings: Whose rules and published files it is for.
    """

    folder: Path
    settings: Settings

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
    """A home refreshed four times, while all failed twice, and its export."""
    settings = settings_for(tmp_path_factory.mktemp("grafana"))
    make_sample(
        settings.source,
        rows=3000,
        days=10,
        end=AS_OF,
        seed=1,
        scenario=Scenario.INCIDENT,
        embeddings=False,
    )
    names = [HOSTILE, HOSTILE, HOSTILE, *ODD]
    add_rows(
        settings.source,
        [
            execution(
                AS_OF - (2 * n + 1) * 2 * HOUR,
                repo=name,
                success=n % 2 == 0,
                error_type=None if n % 2 == 0 else HOSTILE,
                error_message=None if n % 2 == 0 else HOSTILE,
                solution_summary=HOSTILE,
            )
            for n, name in enumerate(names * 5)
        ],
    )
    add_rows(
        settings.source,
        [
            execution(end - n * MINUTE, success=False, error_type="timeout")
            for end in (AS_OF - 4 * HOUR, AS_OF)
            for n in range(1, 40)
        ],
    )
    for hours in (8, 4, 1, 0):
        refresh_core(settings, AS_OF - hours * HOUR)
    folder = tmp_path_factory.mktemp("exported") / "grafana"
    export(settings.config, folder)
    return Exported(folder, settings)
