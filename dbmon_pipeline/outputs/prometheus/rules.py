"""Recording and alert rules, made of the rules file.

An alert asks what a rule has said and compares no value itself, so it cannot disagree with the
asset check. The age of the data alone is asked of Prometheus' own clock: what is not written any
more cannot say that it is old.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TypedDict

from dbmon_pipeline.core.alerting.runbook import link
from dbmon_pipeline.core.alerting.verdicts import Verdict, format_value
from dbmon_pipeline.core.common.errors import ConfigError
from dbmon_pipeline.core.config.rule import RATES, Rule, Severity
from dbmon_pipeline.outputs.prometheus.gauges import label_value

JOB = "dbmon"
"""Name of the exporter's job in the example."""
AGE = "source_freshness"
"""The measurement that is asked of the clock."""

AlertRule = TypedDict(
    "AlertRule",
    {
        "alert": str,
        "expr": str,
        "for": str,
        "labels": dict[str, str],
        "annotations": dict[str, str],
    },
)

_EVALUATED_EVERY_MINUTES = 5
"""Minutes between judgements of the rules by ``health_check`` while something is wrong."""
_OURS = frozenset({"alertname", "severity", "owner", "rule", "scope", "job", "instance"})
_OWNER = "monitoring"
_LONG_GONE = "10m"
_VALUES = {
    **dict.fromkeys(RATES, "{{ $value | humanizePercentage }}"),
    "recent_executions": '{{ printf "%.0f" $value }}',
    "cost_budget": '${{ printf "%.2f" $value }}',
    "cost_drift": '{{ printf "%.2f" $value }}x',
    "success_slo": '{{ printf "%.1f" $value }}x the budget',
    "anomaly": '{{ printf "%.1f" $value }} sigma',
    "database_size": '{{ printf "%.0f" $value }} MB',
    AGE: "{{ $value | humanizeDuration }}",
}
"""Format of a measurement's value, as a template of Prometheus."""


def recording_rules() -> list[dict[str, str]]:
    """List recording rules for the expressions that dashboards ask for again and again."""
    age = "time() - dbmon_data_through_timestamp_seconds"
    return [
        {"record": "dbmon:rule_state:worst", "expr": "max without (scope) (dbmon_rule_state)"},
        {"record": "dbmon:data_age:seconds", "expr": age},
    ]


def alert_rules(rules: Mapping[str, Rule]) -> list[AlertRule]:
    """Build the alerts of every enabled rule, a warning and a critical one where it has both.

    They have the name of the rule, as has what the notifier tells an Alertmanager. The warning
    stays when it becomes critical, so that there is no gap between them.

    Raises:
        ConfigError: Prometheus cannot express a rule; the message names it and says why.
    """
    enabled = {name: rule for name, rule in rules.items() if rule.enabled}
    for name, rule in enabled.items():
        _check(name, rule)
    return [
        _alert(name, rule, severity)
        for name, rule in enabled.items()
        for severity in rule.severities(name)
    ]


def metrics_gone_alert() -> AlertRule:
    """Build the alert on missing metrics, of one home or of all: no other one could fire."""
    target = f'up{{job="{JOB}"}}'
    return {
        "alert": "dbmon_metrics_gone",
        "expr": f"dbmon_up == 0 or {target} == 0 or (absent(dbmon_up) unless on () {target})",
        "for": _LONG_GONE,
        "labels": {"severity": "critical", "owner": _OWNER},
        "annotations": {
            "summary": "there are no metrics of dbmon",
            "description": "The exporter does not run, its file is not read, or what is published"
            " cannot be read. No other alert of dbmon can fire. dbmon doctor says more.",
            "runbook_url": link("Figures look old"),
        },
    }


def never_read_alert() -> AlertRule:
    """Build the alert on an unknown age of the data."""
    return {
        "alert": "dbmon_never_read",
        "expr": "dbmon_up == 1 unless dbmon_data_through_timestamp_seconds",
        "for": _LONG_GONE,
        "labels": {"severity": "warning", "owner": _OWNER},
        "annotations": {
            "summary": "the source was never read whole",
            "description": "Something is published, but no refresh has read all of the source. It"
            " is not known how old the data is. dbmon doctor says more.",
            "runbook_url": link("Figures look old"),
        },
    }


def minutes_to_fire(rule: Rule) -> int:
    """Return the minutes that a rule must say so: as many evaluations as an incident takes."""
    return rule.evaluations * _EVALUATED_EVERY_MINUTES


def has_scopes(name: str, rule: Rule) -> bool:
    """Tell whether a rule judges more than all executions together."""
    return rule.by is not None or rule.judges(name) == "anomaly"


def promql_string(text: str) -> str:
    """Quote a text as a string of PromQL."""
    return json.dumps(text, ensure_ascii=False)


def _check(name: str, rule: Rule) -> None:
    """Refuse what Prometheus has no words for.

    Raises:
        ConfigError: It has none.
    """
    why = remedy = ""
    if not name.strip():
        why, remedy = "it has no name", "give it one in the rules file"
    elif rule.judges(name) == AGE and rule.below:
        why = "its clock tells what is too old, and not what is too new"
        remedy = "give the limits of that rule as above"
    for key in rule.labels:
        if key in _OURS or key.startswith("__"):
            why, remedy = f"its label {key!r} is taken there", "rename that label"
        elif not re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", key):
            why = f"its label {key!r} has other characters than letters, digits and _"
            remedy = "rename that label"
    if why:
        raise ConfigError(f"Prometheus cannot express the rule {name!r}: {why}", remedy=remedy)


def _alert(name: str, rule: Rule, severity: Severity) -> AlertRule:
    measurement, shown = rule.judges(name), label_value(name)
    labels = {**rule.labels, "owner": rule.owner}
    if measurement == AGE:
        labels |= {"rule": shown, "scope": "all"}
    limit = rule.limit(severity)
    beyond = "" if limit is None else f": {rule.direction} {format_value(measurement, limit)}"
    where = " in {{ $labels.scope }}" if has_scopes(name, rule) else ""
    return {
        "alert": shown,
        "expr": _expression(shown, measurement, severity),
        "for": f"{minutes_to_fire(rule)}m",
        "labels": {
            "severity": str(severity),
            **{key: _escaped(text) for key, text in labels.items() if text},
        },
        "annotations": {
            "summary": f"{_escaped(shown.replace('_', ' '))} is {_VALUES[measurement]}{where}",
            "description": f"Beyond the {severity} limit{beyond}. dbmon status --alert shows what"
            " every rule says, and the runbook what to do.",
            "runbook_url": _escaped(link(rule.section(name))),
        },
    }


def _expression(name: str, measurement: str, severity: Severity) -> str:
    if measurement == AGE:
        age = "time() - dbmon_data_through_timestamp_seconds"
        limit = f'dbmon_rule_limit{{rule={promql_string(name)},severity="{severity}"}}'
        return f"{age} > ignoring (rule, scope, severity) {limit}"
    at = f"{{rule={promql_string(name)}}}"
    return f"dbmon_rule_value{at} and dbmon_rule_state{at} >= {Verdict(severity).badness}"


def _escaped(text: str) -> str:
    """Escape a text so that Prometheus finds no template in it."""
    return text.replace("{{", '{{"{{"}}')
