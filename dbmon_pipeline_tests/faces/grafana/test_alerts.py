"""What Grafana's alert rules say is what the checks say, at every step of an incident."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from dbmon_pipeline.core.files import shipped
from dbmon_pipeline.core.settings import Settings
from dbmon_pipeline.faces.grafana.export import export
from dbmon_pipeline_tests.faces.grafana.conftest import HOSTILE, Exported
from dbmon_pipeline_tests.faces.grafana.plugin import Frame, expanded, needs_engine, run
from dbmon_pipeline_tests.helpers import (
    execution,
    make_source,
    published_rows,
    refresh_core,
    settings_for,
)

NOON = datetime.fromisoformat("2026-02-10T12:00")
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
FOUNDING = ("success_rate", "recent_executions", "error_rate", "database_size")
STEPS = {NOON - 3 * HOUR: 60, NOON - 2 * HOUR: 44, NOON - HOUR: 20, NOON + 5 * HOUR: 60}
"""How many of sixty executions succeed in the hour before each refresh."""


def sql_of(rule: dict[str, Any], at: datetime) -> str:
    """What an alert rule asks at an instant; no dashboard is there to fill in variables."""
    [asked, _] = rule["data"]
    span = asked["relativeTimeRange"]
    since, until = (at - timedelta(seconds=span[name]) for name in ("from", "to"))
    return expanded(asked["model"]["rawSql"], since, until)


def firing(exported: Exported, *instants: datetime) -> list[dict[tuple[str, str], set[str]]]:
    """The severities that Grafana tells of each rule and scope, at each instant."""
    rules = {rule["title"]: rule for rule in exported.alerts}
    frames = run(
        exported.init,
        {f"{title} {at}": sql_of(rule, at) for title, rule in rules.items() for at in instants},
    )
    told: list[dict[tuple[str, str], set[str]]] = []
    for at in instants:
        found: dict[tuple[str, str], set[str]] = {}
        for title, rule in rules.items():
            for scope, badness in labelled(frames[f"{title} {at}"]).items():
                severities = found.setdefault((rule["labels"]["rule"], scope), set())
                [condition] = rule["data"][1]["model"]["conditions"]
                assert condition["evaluator"]["type"] == "gt"
                [limit] = condition["evaluator"]["params"]
                if badness > limit:
                    severities.add(rule["labels"]["severity"])
        told.append(found)
    return told


def labelled(frame: Frame) -> dict[str, float]:
    """One number for each set of labels, which is what Grafana can judge."""
    assert frame.columns == [("scope", "VARCHAR"), ("badness", "BIGINT")]
    assert len({row[0] for row in frame.rows}) == len(frame.rows)
    return {row[0]: row[1] for row in frame.rows}


def verdicts(settings: Settings, at: datetime) -> dict[tuple[str, str], set[str]]:
    """The severities that follow from what the checks said at a refresh."""
    told = {"critical": {"warning", "critical"}, "warning": {"warning"}}
    return {
        (str(row["rule"]), str(row["scope"])): told.get(str(row["verdict"]), set())
        & {
            name
            for name in ("warning", "critical")
            if row[name] is not None or row["rule"] == "success_slo"
        }
        for row in published_rows(settings, "check_history")
        if row["evaluated_at"] == at
    }


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> dict[datetime, Any]:
    """What the checks and Grafana say after each refresh of an incident, by its instant."""
    folder = tmp_path_factory.mktemp("steps")
    rules = folder / "rules.yaml"
    by_repo = "{measurement: error_rate, by: repo, above: {warning: 0.1, critical: 0.25}}"
    rules.write_text(
        f"rules:\n  errors by repo: {by_repo}\n  database_size: {{above: {{warning: 0.1}}}}\n"
        "  success_slo: {enabled: true, target: 0.95}\n"
    )
    shipped_and_ours = Settings.load(environ={"DBMON_CONFIG": str(rules)}).config
    settings = Settings(folder / "learning.db", settings_for(folder).home, shipped_and_ours)
    usual = [
        execution(NOON + 5 * HOUR - timedelta(weeks=week) + n * 9 * MINUTE)
        for week in range(1, 9)
        for n in range(-15, 15)
    ]
    rows = [
        execution(
            at - HOUR + n * MINUTE,
            repo=HOSTILE if n % 2 else "org/api",
            success=n % 60 * 7 % 60 < good,
            error_type=None if n % 60 * 7 % 60 < good else "timeout",
        )
        for at, good in STEPS.items()
        for n in range(60)
        if at <= NOON
    ]
    make_source(settings.source, [*usual, *rows])
    exported = Exported(folder / "grafana", settings)
    export(settings.config, exported.folder)
    found = {}
    for at in STEPS:
        refresh_core(settings, at)
        now, later = firing(exported, at, at + 4 * HOUR)
        found[at] = {"checks": verdicts(settings, at), "grafana": now, "later": later}
    return found


@needs_engine
def test_grafana_says_what_the_checks_say(steps: dict[datetime, Any]) -> None:
    """Rule by rule and scope by scope, the four founding ones among them."""
    for at, said in steps.items():
        assert said["grafana"] == said["checks"], at
        assert {(rule, "all") for rule in FOUNDING} <= said["grafana"].keys()
    told = {rule: [said["grafana"][rule, "all"] for said in steps.values()] for rule in FOUNDING}
    assert told["success_rate"][0] == set()
    assert {"critical", "warning"} in told["success_rate"]
    assert told["error_rate"][0] == set()
    assert {"critical", "warning"} in told["error_rate"]
    assert {"warning"} in told["database_size"]
    assert told["recent_executions"][-1] == {"warning"}
    hostile = [said["grafana"].get(("errors by repo", HOSTILE)) for said in steps.values()]
    assert {"critical", "warning"} in hostile


@needs_engine
def test_data_grows_old_while_nothing_refreshes(steps: dict[datetime, Any]) -> None:
    """Four hours after a refresh that is told of, and of nothing else than that refresh told."""
    for said in steps.values():
        age = ("source_freshness", "all")
        assert said["grafana"][age] == set()
        assert said["later"] == {**said["grafana"], age: {"warning"}}


def test_every_limit_has_its_alert(exported: Exported) -> None:
    """Those of the rules file as it is shipped, read anew."""
    rules = yaml.safe_load(shipped("config", "monitoring.yaml").read_text("utf-8"))["rules"]
    wanted = {
        (name, severity)
        for name, rule in rules.items()
        if rule.get("enabled", True)
        for severity in (rule.get("below") or rule["above"])
    }
    alerts = exported.alerts
    assert {(a["labels"]["rule"], a["labels"]["severity"]) for a in alerts} == wanted
    assert len(alerts) == len(wanted) == len({alert["uid"] for alert in alerts})
    rhythm = {
        a["labels"]["rule"]: (a["group"]["interval"], a["for"], a["keepFiringFor"]) for a in alerts
    }
    assert rhythm["success_rate"] == rhythm["error_rate"] == ("60s", "5m", "5m")
    assert rhythm["recent_executions"] == ("300s", "10m", "10m")
    assert rhythm["database_size"] == ("600s", "10m", "10m")
    panels = {panel["id"]: panel for panel in exported.dashboards["monitor"]["panels"]}
    runbook = Path(__file__).parents[3].joinpath("RUNBOOK.md").read_text("utf-8")
    for alert in alerts:
        name = alert["labels"]["rule"]
        assert panels[alert["panelId"]]["title"] == name
        assert alert["dashboardUid"] == exported.dashboards["monitor"]["uid"]
        assert alert["annotations"]["runbook_url"] == f"${{DBMON_RUNBOOK_URL}}#{name}"
        assert f"### {name}\n" in runbook
    said = {alert["title"]: alert["annotations"]["description"] for alert in alerts}
    assert "below 85.0%" in said["success_rate warning"]
    assert "above 1,000 MB" in said["database_size critical"]
