"""Tests of the rules for promtool: quiet before, firing after, quiet again, and the text."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from dbmon_pipeline.core.alerting.verdicts import Verdict
from dbmon_pipeline.core.config.rule import RATES, Rule, Severity
from dbmon_pipeline.outputs.prometheus.export import RULES
from dbmon_pipeline.outputs.prometheus.gauges import label_value
from dbmon_pipeline.outputs.prometheus.rules import (
    AGE,
    JOB,
    AlertRule,
    alert_rules,
    has_scopes,
    metrics_gone_alert,
    minutes_to_fire,
    never_read_alert,
    promql_string,
)

_TARGET = {"instance": "example", "job": JOB}
_QUIET_MINUTES = 10
_MORE_MINUTES = 5
"""How long it goes on once it fires."""
_OLDEST = 48 * 3600.0
"""An age that the tests reach, whatever the limit is: each minute of it is evaluated."""
_BURN = 20.0
"""A burn rate beyond every limit."""

_DOWN = "1+0x10 0+0x10 1"

TESTS = "dbmon-rules.test.yml"

Test = dict[str, Any]


def promtool_file(rules: Mapping[str, Rule]) -> str:
    """The file of tests for rules, which lies beside theirs."""
    document = {
        "rule_files": [RULES],
        "evaluation_interval": "1m",
        "tests": rule_tests(rules),
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=10_000)


def rule_tests(rules: Mapping[str, Rule]) -> list[Test]:
    """A test for each severity of each enabled rule, and some for the alerts about no rule."""
    alerts = {(one["alert"], one["labels"]["severity"]): one for one in alert_rules(rules)}
    found: list[Test] = []
    for name, rule in rules.items():
        if rule.enabled:
            make = _of_age if rule.judges(name) == AGE else _of_state
            bad = rule.severities(name)
            for number, severity in enumerate(bad, 1):
                firing = [alerts[label_value(name), one] for one in bad[:number]]
                found.append(make(name, rule, severity, firing))
    return [*found, _of_damage(), _of_down(), _of_absent(), _of_unread()]


def _of_state(name: str, rule: Rule, severity: Severity, firing: Sequence[AlertRule]) -> Test:
    """A verdict that becomes bad, and good again."""
    labels = {"rule": label_value(name), "scope": "example" if has_scopes(name, rule) else "all"}
    begins, minutes = _QUIET_MINUTES + 1, minutes_to_fire(rule)
    value = _bad_value(rule.judges(name), rule, severity)

    def course(calm: float, bad: float) -> str:
        return _course((calm, begins), (bad, minutes + _MORE_MINUTES), (calm, 1))

    return _test(
        {
            _series("dbmon_rule_state", labels): course(0, Verdict(severity).badness),
            _series("dbmon_rule_value", labels): course(1, value),
        },
        firing,
        quiet=(_QUIET_MINUTES, begins + minutes - 1, begins + minutes + _MORE_MINUTES),
        fires=begins + minutes,
        expected=[_expected(one, labels, value) for one in firing],
    )


def _of_age(name: str, rule: Rule, severity: Severity, firing: Sequence[AlertRule]) -> Test:
    """Data that grows old, and is read again."""
    limit = _tested(rule, severity)
    begins, minutes = int(limit // 60) + 1, minutes_to_fire(rule)
    fires = begins + minutes
    limits = {
        _series(
            "dbmon_rule_limit", {"rule": label_value(name), "scope": "all", "severity": severity}
        ): _course((_tested(rule, severity), fires + 2))
        for severity in rule.severities(name)[: len(firing)]
    }
    through = _course((0, fires + 1), (60 * (fires + 1), 1))
    return _test(
        {_series("dbmon_data_through_timestamp_seconds", {}): through, **limits},
        firing,
        quiet=(begins - 1, fires - 1, fires + 1),
        fires=fires,
        expected=[_expected(one, {}, 60 * fires) for one in firing],
    )


def _tested(rule: Rule, severity: Severity) -> float:
    """The limit that a test gives an age."""
    return min(rule.limit(severity) or 0.0, _OLDEST)


def _of_damage() -> Test:
    """What is published cannot be read any more."""
    always = _course((1, 23))
    return _of_gone({_series("dbmon_up", {}): _DOWN, _series("up", {}): always})


def _of_down() -> Test:
    """An exporter does not answer any more, while that of another home does."""
    always = _course((1, 23))
    other = {_series(name, {"instance": "other"}): always for name in ("up", "dbmon_up")}
    return _of_gone({_series("up", {}): _DOWN, **other})


def _of_gone(series: Mapping[str, str]) -> Test:
    """One of the series is down from the eleventh minute on, for as many."""
    alert, fires = metrics_gone_alert(), _QUIET_MINUTES + 1 + 10
    expected = [_expected(alert, {}, 0)]
    quiet = (_QUIET_MINUTES, fires - 1, fires + 1)
    return _test(series, [alert], quiet=quiet, fires=fires, expected=expected)


def _of_absent() -> Test:
    """Nobody tells anything."""
    alert = metrics_gone_alert()
    expected = {"exp_labels": alert["labels"], "exp_annotations": alert["annotations"]}
    return _test({}, [alert], quiet=(9,), fires=10, expected=[expected])


def _of_unread() -> Test:
    """Nothing was read whole, until it was."""
    series = {
        _series("dbmon_up", {}): _course((1, 13)),
        _series("dbmon_data_through_timestamp_seconds", {}): "_x11 0",
    }
    alert = never_read_alert()
    return _test(series, [alert], quiet=(9, 12), fires=10, expected=[_expected(alert, {}, 0)])


def _test(
    series: Mapping[str, str],
    alerts: Sequence[AlertRule],
    *,
    quiet: Sequence[int],
    fires: int,
    expected: list[dict[str, dict[str, str]]],
) -> Test:
    """A test that looks at the alerts of one name at some minutes."""
    looks: dict[int, list[dict[str, dict[str, str]]]] = {minute: [] for minute in quiet}
    looks[fires] = expected
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {"eval_time": f"{minute}m", "alertname": alerts[0]["alert"], "exp_alerts": found}
            for minute, found in sorted(looks.items())
        ],
    }


def _expected(
    alert: AlertRule, labels: Mapping[str, str], value: float
) -> dict[str, dict[str, str]]:
    """An alert as it is told of a value."""
    scope = labels.get("scope", "")

    def rendered(templates: Mapping[str, str]) -> dict[str, str]:
        return {key: _rendered(text, value, scope) for key, text in templates.items()}

    return {
        "exp_labels": {**_TARGET, **labels, **rendered(alert["labels"])},
        "exp_annotations": rendered(alert["annotations"]),
    }


def _rendered(template: str, value: float, scope: str) -> str:
    """What Prometheus makes of a template of ours."""

    def filled(found: re.Match[str]) -> str:
        match found[1].strip():
            case '"{{"':
                return "{{"
            case "$labels.scope":
                return scope
            case "$value | humanizePercentage":
                return f"{100 * value:.4g}%"
            case "$value | humanizeDuration":
                return _duration(int(value))
            case printf:
                return str(printf.split('"')[1] % value)

    return re.sub(r"\{\{(.*?)\}\}", filled, template)


def _duration(seconds: int) -> str:
    """A length as Prometheus writes it; here it is a minute at least."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    text = f"{minutes}m {rest}s"
    if days or hours:
        text = f"{hours}h {text}"
    return f"{days}d {text}" if days else text


def _bad_value(measurement: str, rule: Rule, severity: Severity) -> float:
    """A value beyond a limit."""
    limit = rule.limit(severity)
    if limit is None:
        return _BURN
    if measurement not in RATES:
        return 0.0 if rule.below else math.ceil(2 * limit) + 0.0
    return limit / 2 if rule.below else (1 + limit) / 2


def _series(name: str, labels: Mapping[str, str]) -> str:
    pairs = sorted({**_TARGET, **labels}.items())
    return f"{name}{{{','.join(f'{key}={promql_string(text)}' for key, text in pairs)}}}"


def _course(*parts: tuple[float, int]) -> str:
    """Values that each last for some minutes."""
    return " ".join(f"{_decimal(value)}+0x{minutes - 1}" for value, minutes in parts)


def _decimal(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")
