"""What Grafana's alert rules say is what the checks say, at every step of an incident."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from dbmon_pipeline.core.common.shipped import shipped
from dbmon_pipeline_tests.helpers import published_rows
from dbmon_pipeline_tests.outputs.grafana.conftest import FAILING, HOSTILE, SILENT, WELL, Exported
from dbmon_pipeline_tests.outputs.grafana.plugin import needs_engine
from dbmon_pipeline_tests.outputs.grafana.telling import Told

COMMITTED = Path(__file__).parents[3] / "deploy" / "grafana"
FOUNDING = ("success_rate", "recent_executions", "error_rate", "database_size")
BAD = {"warning": {"warning"}, "critical": {"warning", "critical"}}
"""What is told of a verdict, where there are both limits."""


def verdicts(exported: Exported, at: datetime) -> Told:
    """The severities that follow from what the checks said at a refresh."""
    return {
        (str(row["rule"]), str(row["scope"])): BAD.get(str(row["verdict"]), set())
        & {
            name
            for name in ("warning", "critical")
            if row[name] is not None or row["rule"] == "success_slo"
        }
        for row in published_rows(exported.settings, "check_history")
        if row["evaluated_at"] == at
    }


@needs_engine
def test_grafana_says_what_the_checks_say(exported: Exported) -> None:
    """Rule by rule and scope by scope, the four founding ones among them."""
    for at, (now, _) in exported.told.items():
        assert now == verdicts(exported, at), at
        assert {(rule, "all") for rule in FOUNDING} <= now.keys()
    silent, failing, well = (exported.told[at][0] for at in (SILENT, FAILING, WELL))
    for rule in ("success_rate", "error_rate"):
        assert silent[rule, "all"] == set()
        assert failing[rule, "all"] == {"warning", "critical"}
        assert "critical" not in well[rule, "all"]
    assert failing["errors by repo", HOSTILE] == {"warning", "critical"}
    assert silent["recent_executions", "all"] == {"warning"}
    assert failing["recent_executions", "all"] == set()
    assert silent["database_size", "all"] == {"warning"}


@needs_engine
def test_data_grows_old_while_nothing_refreshes(exported: Exported) -> None:
    """Four hours after a refresh that is told of, and of all else what that refresh said."""
    age = ("source_freshness", "all")
    for now, later in exported.told.values():
        assert now[age] == set()
        assert later == {**now, age: {"warning"}}


def committed_alerts() -> list[dict[str, Any]]:
    """The alert rules for the rules file as it is shipped."""
    document = yaml.safe_load((COMMITTED / "alerting" / "rules.yaml").read_text("utf-8"))
    return [{**rule, "group": group} for group in document["groups"] for rule in group["rules"]]


def test_every_limit_has_its_alert() -> None:
    """Those of the rules file as it is shipped, read anew."""
    rules = yaml.safe_load(shipped("config", "monitoring.yaml").read_text("utf-8"))["rules"]
    wanted = {
        (name, severity)
        for name, rule in rules.items()
        if rule.get("enabled", True)
        for severity in (rule.get("below") or rule["above"])
    }
    alerts = committed_alerts()
    assert {(a["labels"]["rule"], a["labels"]["severity"]) for a in alerts} == wanted
    assert len(alerts) == len(wanted) == len({alert["uid"] for alert in alerts})
    rhythm = {
        a["labels"]["rule"]: (a["group"]["interval"], a["for"], a["keepFiringFor"]) for a in alerts
    }
    assert rhythm["success_rate"] == rhythm["error_rate"] == ("60s", "5m", "5m")
    assert rhythm["recent_executions"] == ("300s", "10m", "10m")
    assert rhythm["database_size"] == ("600s", "10m", "10m")
    monitor = json.loads((COMMITTED / "dashboards" / "monitor.json").read_text("utf-8"))
    panels = {panel["id"]: panel for panel in monitor["panels"]}
    runbook = Path(__file__).parents[3].joinpath("RUNBOOK.md").read_text("utf-8")
    for alert in alerts:
        name = alert["labels"]["rule"]
        assert panels[alert["panelId"]]["title"] == name
        assert alert["dashboardUid"] == monitor["uid"]
        assert alert["annotations"]["runbook_url"] == f"${{DBMON_RUNBOOK_URL}}#{name}"
        assert f"### {name}\n" in runbook
    said = {alert["title"]: alert["annotations"]["description"] for alert in alerts}
    assert "below 85.0%" in said["success_rate warning"]
    assert "above 1,000 MB" in said["database_size critical"]
