"""Alert rules for Grafana: what the checks said last, told by Grafana.

They look at ``check_history``, so they cannot say otherwise than the asset checks; only the age of
the data goes on growing between two refreshes, and is compared as of now.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256

from dbmon_pipeline.core.alerting.runbook import anchor
from dbmon_pipeline.core.alerting.verdicts import format_value
from dbmon_pipeline.core.common.duck import quoted
from dbmon_pipeline.core.common.errors import ExportError
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.config.rule import Rule, Severity
from dbmon_pipeline.outputs.grafana.panel_spec import Board
from dbmon_pipeline.outputs.grafana.sql import (
    DATASOURCE_UID,
    find_question,
    panel_sql,
    plugin_query,
)

_LONGEST_TITLE = 190
_LONGEST_UID = 40
_OWN_LABELS = ("alertname", "grafana_folder", "owner", "rule", "scope", "severity")
_USUAL_RHYTHM = ("1m", "5m")
_RHYTHMS = {"recent_executions": ("5m", "10m"), "database_size": ("10m", "10m")}
"""Intervals at which a measurement is looked at, and times that it must be wrong."""


def alert_rules(config: MonitoringConfig, monitor: Board) -> dict[str, object]:
    """Build the provisioning of an alert rule for each limit of each enabled rule.

    Args:
        config: The rules.
        monitor: The dashboard with a panel for each of them.

    Raises:
        ExportError: Grafana cannot express a rule.
    """
    groups: dict[str, list[dict[str, object]]] = {}
    for name, rule in config.rules.items():
        if rule.enabled:
            _check(name, rule)
            interval, _ = _rhythm(name, rule)
            made = (_alert_rule(name, rule, each, monitor) for each in rule.severities(name))
            groups.setdefault(interval, []).extend(made)
    return {
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": f"dbmon every {interval}",
                "folder": "dbmon",
                "interval": f"{int(interval[:-1]) * 60}s",
                "rules": rules,
            }
            for interval, rules in groups.items()
        ],
    }


def _alert_rule(name: str, rule: Rule, severity: Severity, monitor: Board) -> dict[str, object]:
    measurement = rule.judges(name)
    _, lasting = _rhythm(name, rule)
    is_age = measurement == "source_freshness"
    select = panel_sql(
        find_question("age_verdict" if is_age else "verdict"), values={"rule": quoted(name)}
    )
    limit = rule.limit(severity)
    said = (
        "Failures burn the error budget too fast"
        if limit is None
        else f"It is {rule.direction} {format_value(measurement, limit)}"
    )
    return {
        "uid": _uid(name, severity),
        "title": f"{name} {severity}",
        "condition": "B",
        "data": [
            {
                "refId": "A",
                "relativeTimeRange": {"from": 3600, "to": 0},
                "datasourceUid": DATASOURCE_UID,
                "model": plugin_query(select),
            },
            {
                "refId": "B",
                "relativeTimeRange": {"from": 0, "to": 0},
                "datasourceUid": "__expr__",
                "model": {
                    "refId": "B",
                    "datasource": {"type": "__expr__", "uid": "__expr__"},
                    "type": "threshold",
                    "expression": "A",
                    "conditions": [{"evaluator": {"type": "gt", "params": [severity.badness - 1]}}],
                },
            },
        ],
        "dashboardUid": monitor.uid,
        "panelId": monitor.panel_of(name),
        # A datasource that gives no answer is told once, as data that grows old. A reader may fail
        # once when a month closes.
        "noDataState": "Alerting" if is_age else "OK",
        "execErrState": "Alerting" if is_age else "KeepLast",
        "for": lasting,
        "keepFiringFor": lasting,
        "annotations": {
            "summary": f"{severity}: {name} ({{{{ $labels.scope }}}})",
            "description": f"{said}, as the latest refresh has it.",
            "runbook_url": f"${{DBMON_RUNBOOK_URL}}#{anchor(rule.section(name))}",
        },
        "labels": {**rule.labels, "rule": name, "severity": str(severity), "owner": rule.owner},
        "isPaused": False,
    }


def _rhythm(name: str, rule: Rule) -> tuple[str, str]:
    return _RHYTHMS.get(rule.judges(name), _USUAL_RHYTHM)


def _uid(name: str, severity: Severity) -> str:
    uid = f"dbmon-{name}-{severity}"
    if re.fullmatch(r"[A-Za-z0-9_-]+", uid) and len(uid) <= _LONGEST_UID:
        return uid
    return f"dbmon-{sha256(uid.encode()).hexdigest()[:24]}"


def _check(name: str, rule: Rule) -> None:
    """Check that Grafana can express a rule.

    Raises:
        ExportError: It cannot.
    """
    problem = next(_problems(name, rule), None)
    if problem:
        raise ExportError(
            f"the rule {name[:100]!r} cannot be expressed in Grafana: {problem}",
            remedy="change that in the rules file, or disable the rule",
        )


def _problems(name: str, rule: Rule) -> Iterator[str]:
    texts: Iterable[str] = (name, rule.owner, *rule.labels, *rule.labels.values())
    if not name.strip():
        yield "it has no name"
    if len(name) + len(" critical") > _LONGEST_TITLE:
        yield f"its name has more than {_LONGEST_TITLE - len(' critical')} characters"
    for text in texts:
        if "$" in text or "{{" in text or "[[" in text:
            yield f"{text[:100]!r} would be taken for a variable or a template"
    for label in rule.labels:
        if label in _OWN_LABELS or label.startswith("__") or not label:
            yield f"the label {label[:100]!r} is one that Grafana or this project sets"
