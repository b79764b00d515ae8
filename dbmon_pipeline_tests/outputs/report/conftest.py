"""A home with two weeks of made-up executions and an incident, and reports of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from dbmon_pipeline.core.common.instants import HOUR
from dbmon_pipeline.core.config.rule import Severity
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.incidents.incident import Finding
from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline.core.learning_db.sample import Scenario, make_sample
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.outputs.report.files import write_report
from dbmon_pipeline_tests.helpers import Row, make_source, refresh_core, settings_for
from dbmon_pipeline_tests.outputs.report.parsed import Parsed

AS_OF = datetime.fromisoformat("2026-02-10T12:34:56")


@dataclass(frozen=True)
class Made:
    """A report that was written.

    Attributes:
        path: The page.
        data: What the JSON holds.
        page: The page, parsed.
    """

    path: Path
    data: Any
    page: Parsed

    def rows(self, section: str, table: str) -> list[dict[str, Any]]:
        """The rows of a table."""
        found: list[dict[str, Any]] = self.data["sections"][section]["tables"][table]["rows"]
        return found

    def change(self, figure: str) -> dict[str, Any]:
        """What is said of the change of a figure."""
        (found,) = (change for change in self.data["changes"] if change["figure"] == figure)
        return dict(found)


def made(settings: Settings, as_of: datetime, time_range: TimeRange, out: Path) -> Made:
    """Write a report and read it again."""
    path = write_report(settings, as_of, time_range, out).page
    data = json.loads(path.with_suffix(".json").read_text("utf-8"))
    return Made(path, data, Parsed(path.read_text("utf-8")))


def report_of(folder: Path, rows: Sequence[Row], time_range: TimeRange = TimeRange.WEEK) -> Made:
    """Refresh a source of some rows, and report."""
    settings = settings_for(folder)
    make_source(settings.source, rows)
    refresh_core(settings, AS_OF)
    return made(settings, AS_OF, time_range, folder / "report.html")


@pytest.fixture(scope="package")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The home, refreshed once, and its incident store."""
    found = settings_for(tmp_path_factory.mktemp("reported"))
    make_sample(
        found.source,
        rows=4000,
        days=18,
        end=AS_OF,
        seed=1,
        scenario=Scenario.INCIDENT,
        embeddings=False,
    )
    refresh_core(found, AS_OF)
    with Incidents(found.home.incidents, notifications=found.config.notifications) as incidents:
        over, bad = finding("over", None), finding("over", Severity.WARNING)
        incidents.observe([bad], AS_OF - 5 * HOUR)
        incidents.observe([over, finding("open", Severity.CRITICAL)], AS_OF - 4 * HOUR)
    return found


def finding(scope: str, severity: Severity | None) -> Finding:
    """What a rule found in a scope, once and for certain."""
    return Finding(
        rule="success_rate",
        scope=scope,
        severity=severity,
        summary=f"success rate is 50.0% of 40 executions in {scope}, below the limit of 70%",
        value=0.5,
        samples=40,
        limit=0.7,
        direction="below",
        window_start=AS_OF - 6 * HOUR,
        window_end=AS_OF - 5 * HOUR,
        runbook="success_rate",
        owner="",
    )


@pytest.fixture(scope="package")
def weekly(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The report of the last week."""
    return made(settings, AS_OF, TimeRange.WEEK, tmp_path_factory.mktemp("weekly") / "report.html")


@pytest.fixture(scope="package")
def daily(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The report of the last day."""
    return made(settings, AS_OF, TimeRange.DAY, tmp_path_factory.mktemp("daily") / "report.html")
