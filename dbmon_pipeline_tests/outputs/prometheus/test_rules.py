"""The rules are those of the rules file, and Prometheus' own tool agrees with their tests."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from dbmon_pipeline.core.common.errors import ConfigError
from dbmon_pipeline.core.config.rule import Limits, Measurement, Rule
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.outputs.prometheus.export import EXAMPLE, RULES, rule_files
from dbmon_pipeline.outputs.prometheus.rules import alert_rules
from dbmon_pipeline_tests.command import dbmon_here
from dbmon_pipeline_tests.helpers import DROP_PRIVILEGES, run_dbmon
from dbmon_pipeline_tests.outputs.prometheus.promtool_tests import TESTS, promtool_file
from dbmon_pipeline_tests.outputs.prometheus.real_prometheus import needs_promtool, promtool

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "deploy" / "prometheus"
SHIPPED = Settings.load(environ={}).config.rules
EVERY = """
rules:
  cost_budget: {enabled: true, above: {warning: 20, critical: 50.5}}
  success_slo: {enabled: true, target: 0.99}
  'odd "name" {{ $value }} \\ 🦆':
    measurement: slow_executions
    by: repo
    above: {critical: 0.6}
    owner: '{{ .Owner }}'
    labels: {team: 'a "b" {{ template "x" }}', empty: ''}
    for: 3
    runbook: The pipeline itself
  old: {measurement: source_freshness, above: {warning: 90, critical: 95}}
  large_tier: {measurement: success_rate, by: model_tier, below: {warning: 0.8}}
"""
"""Rules of every measurement, and with odd names."""


def written(folder: Path, text: str = "") -> Path:
    """A folder with what the command writes for a rules file, and with tests of that."""
    config = folder / "rules.yaml"
    config.write_text(text or "{}", "utf-8")
    out = folder / "deep" / "er"
    ended = dbmon_here("prometheus-rules", out, DBMON_CONFIG=config)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr.splitlines() == [str(out / name) for name in (RULES, EXAMPLE)]
    rules = Settings.load(environ={"DBMON_CONFIG": str(config)}).config.rules
    (out / TESTS).write_text(promtool_file(rules), "utf-8")
    return out


def alerts(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """The alerts of a folder, by name and severity."""
    document = yaml.safe_load((folder / RULES).read_text("utf-8"))
    found = [rule for group in document["groups"] for rule in group["rules"] if "alert" in rule]
    by_name = {(rule["alert"], rule["labels"]["severity"]): rule for rule in found}
    assert len(by_name) == len(found)
    return by_name


def test_what_is_committed_is_what_is_made(tmp_path: Path) -> None:
    """To the byte: dbmon prometheus-rules deploy/prometheus makes it anew."""
    made = {path.name: path.read_text("utf-8") for path in written(tmp_path).iterdir()}
    tests = Path(__file__).with_name(TESTS)
    committed = [*COMMITTED.iterdir(), tests]
    assert made == {path.name: path.read_text("utf-8") for path in committed}


def test_an_alert_for_each_limit_of_each_enabled_rule() -> None:
    """They wait as long as the founding ones do, where those are named."""
    found = alerts(COMMITTED)
    text = yaml.safe_load((ROOT / "config" / "monitoring.yaml").read_text("utf-8"))["rules"]
    limits = {
        (name, severity)
        for name, rule in text.items()
        if rule.get("enabled", True)
        for severity in (rule.get("below") or rule.get("above"))
    }
    own = {("dbmon_metrics_gone", "critical"), ("dbmon_never_read", "warning")}
    assert set(found) == limits | own
    waits = {name: rule["for"] for (name, _), rule in found.items()}
    assert [waits[name] for name in ("success_rate", "error_rate")] == ["5m", "5m"]
    assert [waits[name] for name in ("recent_executions", "database_size")] == ["10m", "10m"]


def test_each_names_a_section_of_the_runbook() -> None:
    """As its anchor is made."""
    runbook = (ROOT / "RUNBOOK.md").read_text("utf-8")
    headings = re.findall(r"^#+ (.+)$", runbook, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", name.lower()).replace(" ", "-") for name in headings}
    for rule in alerts(COMMITTED).values():
        file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert file == "RUNBOOK.md"
        assert anchor in anchors


@needs_promtool
@pytest.mark.parametrize("text", ["", EVERY], ids=["shipped", "every"])
def test_the_tool_accepts_them_and_their_tests_pass(tmp_path: Path, text: str) -> None:
    """Quiet before, firing after, with the text that the tests foretell."""
    folder = written(tmp_path, text)
    checked = promtool("check", "rules", folder / RULES)
    assert checked.returncode == 0, checked.stderr
    assert f"{len(alerts(folder)) + 2} rules found" in checked.stdout
    tested = promtool("test", "rules", folder / TESTS)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    tests = yaml.safe_load((folder / TESTS).read_text("utf-8"))["tests"]
    fired = {
        (alert["exp_labels"].get("alertname", one["alertname"]), alert["exp_labels"]["severity"])
        for test in tests
        for one in test["alert_rule_test"]
        for alert in one["exp_alerts"]
    }
    assert fired == set(alerts(folder))
    config = promtool("check", "config", folder / EXAMPLE)
    assert config.returncode == 0, config.stdout + config.stderr


@needs_promtool
def test_a_scope_is_told_as_it_is(tmp_path: Path) -> None:
    """Whatever stands in a name, it is no template, no query and no markup."""
    folder = written(tmp_path, EVERY)
    name = "<script>alert(1)</script>'; DROP TABLE x;-- {{ $value }} \\ \" 🦆"
    text = (folder / TESTS).read_text("utf-8")
    tests = yaml.safe_load(text)

    def odd(part: Any) -> Any:
        match part:
            case {"scope": "example"}:
                return {**part, "scope": name}
            case dict():
                return {key: odd(value) for key, value in part.items()}
            case list():
                return [odd(value) for value in part]
            case str():
                shown = part.replace(
                    'scope="example"', f"scope={json.dumps(name, ensure_ascii=False)}"
                )
                return shown.replace(" in example", f" in {name}")
        return part

    (folder / TESTS).write_text(yaml.safe_dump(odd(tests), allow_unicode=True), "utf-8")
    assert (folder / TESTS).read_text("utf-8").count("DROP TABLE") >= 3 * 4
    tested = promtool("test", "rules", folder / TESTS)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@needs_promtool
def test_their_tests_can_fail(tmp_path: Path) -> None:
    """With another limit of the state, or another text, they do."""
    for old, new in ((">= 2", ">= 3"), ("humanizePercentage", "humanize"), ("for: 5m", "for: 9m")):
        folder = tmp_path / new.strip(">= :")
        shutil.copytree(COMMITTED, folder)
        shutil.copy(Path(__file__).with_name(TESTS), folder)
        rules = (folder / RULES).read_text("utf-8")
        assert old in rules
        (folder / RULES).write_text(rules.replace(old, new), "utf-8")
        assert promtool("test", "rules", folder / TESTS).returncode == 1


def test_a_limit_of_a_year_is_not_waited_for() -> None:
    """The tool evaluates each minute of a test."""
    old = Rule(measurement="source_freshness", above=Limits(warning=31_536_000))
    tests = yaml.safe_load(promtool_file({"old": old}))["tests"]
    [looks] = [
        [look["eval_time"] for look in test["alert_rule_test"]]
        for test in tests
        if test["alert_rule_test"][0]["alertname"] == "old"
    ]
    assert max(int(minute.removesuffix("m")) for minute in looks) < 50 * 60


def test_every_measurement_can_be_told(tmp_path: Path) -> None:
    """None was forgotten."""
    config = tmp_path / "rules.yaml"
    config.write_text(EVERY, "utf-8")
    rules = Settings.load(environ={"DBMON_CONFIG": str(config)}).config.rules
    assert {rule.measurement or name for name, rule in rules.items()} == set(get_args(Measurement))
    for name, rule in rules.items():
        assert rule.enabled
        assert [one for one in alert_rules({name: rule}) if one["alert"] == name]


ABOVE = Limits(warning=1)


@pytest.mark.parametrize(
    ("name", "rule", "why"),
    [
        (
            "fresh",
            Rule(measurement="source_freshness", below=ABOVE),
            "the rule 'fresh': its clock tells what is too old, and not what is too new",
        ),
        (
            "taken",
            Rule(measurement="database_size", above=ABOVE, labels={"severity": "x"}),
            "the rule 'taken': its label 'severity' is taken there",
        ),
        (
            "hidden",
            Rule(measurement="database_size", above=ABOVE, labels={"__name__": "x"}),
            "the rule 'hidden': its label '__name__' is taken there",
        ),
        (
            "dash",
            Rule(measurement="database_size", above=ABOVE, labels={"a-b": "x"}),
            "the rule 'dash': its label 'a-b' has other characters than letters, digits and _",
        ),
        (" ", Rule(measurement="database_size", above=ABOVE), "the rule ' ': it has no name"),
    ],
)
def test_what_prometheus_cannot_express(name: str, rule: Rule, why: str) -> None:
    """It is named, with the reason; a rule that is off does not matter."""
    with pytest.raises(ConfigError, match=r"^Prometheus cannot express ") as raised:
        rule_files({**SHIPPED, name: rule})
    assert why in str(raised.value)
    off = Rule(
        measurement=rule.measurement, below=rule.below, above=rule.above, labels=rule.labels,
        enabled=False,
    )  # fmt: skip
    assert rule_files({**SHIPPED, name: off}) == rule_files(SHIPPED)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """One line, and nothing is written."""
    (tmp_path / "file").touch()
    locked = tmp_path / "locked"
    locked.mkdir(0o500)
    for folder in (tmp_path / "file", tmp_path / "file" / "deeper", locked, locked / "deeper"):
        ended = run_dbmon("prometheus-rules", folder, first=DROP_PRIVILEGES)
        assert (ended.returncode, ended.stdout) == (3, "")
        assert re.fullmatch(r"dbmon: .* (cannot be written|no folder).*: name a .*\n", ended.stderr)
    assert [*locked.iterdir()] == []
    config = tmp_path / "rules.yaml"
    config.write_text("rules: {database_size: {labels: {job: x}}}")
    ended = dbmon_here("prometheus-rules", tmp_path / "out", DBMON_CONFIG=config)
    assert ended.returncode == 3
    assert "'database_size': its label 'job' is taken there" in ended.stderr
    assert not (tmp_path / "out").exists()
