"""``dbmon grafana export``: files that are current, valid, of no machine, and bad input."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from dbmon_pipeline.core.common.errors import ExportError
from dbmon_pipeline.core.common.shipped import shipped
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.outputs.grafana.export import export, provisioning
from dbmon_pipeline_tests.command import dbmon_here
from dbmon_pipeline_tests.helpers import DROP_PRIVILEGES, run_dbmon
from dbmon_pipeline_tests.outputs.grafana.conftest import Exported

HERE = Path(__file__).parent
COMMITTED = HERE.parents[2] / "deploy" / "grafana"


def files_in(folder: Path) -> dict[str, str]:
    """Every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes().decode()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def problems(document: Any, schema: str) -> list[str]:
    """Where a document is not as a schema wants it."""
    validator = Draft202012Validator(json.loads((HERE / schema).read_text("utf-8")))
    return [
        f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(document)
    ]


def test_what_is_committed_is_current() -> None:
    """Byte for byte what ``dbmon grafana export deploy/grafana`` writes, and nothing else."""
    assert files_in(COMMITTED) == provisioning(Settings.load(environ={}).config)


def test_dashboards_are_as_grafana_has_them(exported: Exported) -> None:
    """By the schema of Grafana's own types; a wrong one is found."""
    assert sorted(exported.dashboards) == [
        "errors-and-patterns",
        "monitor",
        "overview",
        "tiers-and-pools",
    ]
    for name, dashboard in exported.dashboards.items():
        assert problems(dashboard, "dashboard.schema.json") == [], name
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert ids == [*range(1, len(ids) + 1)]
    wrong = exported.dashboards["overview"]
    wrong["panels"][0]["gridPos"]["w"] = "wide"
    wrong["templating"]["list"][0]["refresh"] = 7
    assert len(problems(wrong, "dashboard.schema.json")) > 0


def test_alert_rules_are_as_grafana_reads_them(exported: Exported) -> None:
    """By a schema of the file; a wrong one is found."""
    document = exported.document("alerting/rules.yaml")
    assert problems(document, "alerting.schema.json") == []
    for spoil in ({"for": "soon"}, {"execErrState": "Broken"}, {"uid": "a b"}, {"title": 7}):
        wrong = json.loads(json.dumps(document))
        wrong["groups"][0]["rules"][0].update(spoil)
        assert len(problems(wrong, "alerting.schema.json")) == 1, spoil


def test_the_example_of_a_contact_point_does_nothing_until_it_is_meant(exported: Exported) -> None:
    """Grafana reads every file in the folder, and refuses to start with a bad one."""
    text = (exported.folder / "alerting" / "contact-points.example.yaml").read_text("utf-8")
    assert yaml.safe_load(text) == {"apiVersion": 1}
    meant = yaml.safe_load(re.sub(r"(?m)^# (?=contactPoints| )", "", text))
    [point] = meant["contactPoints"]
    assert [receiver["type"] for receiver in point["receivers"]] == ["webhook"]


def test_limits_are_those_of_the_rules_file(exported: Exported) -> None:
    """Each with its colour, in panels of every kind."""
    rules = yaml.safe_load(shipped("config", "monitoring.yaml").read_text("utf-8"))["rules"]
    panels = {
        f"{name}: {panel['title']}": panel["fieldConfig"]["defaults"]
        for name, dashboard in exported.dashboards.items()
        for panel in dashboard["panels"]
    }

    def steps(title: str) -> list[tuple[float | None, str]]:
        return [(s["value"], s["color"]) for s in panels[title]["thresholds"]["steps"]]

    success, error = rules["success_rate"]["below"], rules["error_rate"]["above"]
    wanted = [(None, "red"), (success["critical"], "orange"), (success["warning"], "green")]
    for title in ("overview: Success rate", "overview: Model tier performance"):
        assert steps(title) == wanted
    assert steps("monitor: success_rate") == wanted
    assert steps("errors-and-patterns: Error rate") == [
        (None, "green"),
        (error["warning"], "orange"),
        (error["critical"], "red"),
    ]
    age = rules["source_freshness"]["above"]["warning"]
    assert steps("monitor: Age of the figures") == [(None, "green"), (age, "orange")]


def test_no_machine_is_named(exported: Exported) -> None:
    """Every place comes from the environment of Grafana."""
    for path, text in files_in(exported.folder).items():
        assert not re.search(r"/tmp|/home/|/work|localhost|127\.0\.0\.1", text), path  # noqa: S108
        assert str(exported.settings.home.path) not in text


def test_the_command_writes_them_anywhere(tmp_path: Path) -> None:
    """Nothing needs to be published; what was there is replaced."""
    folder = tmp_path / "new" / "grafana"
    nothing = tmp_path / "nothing"
    for _ in range(2):
        done = run_dbmon("grafana", "export", folder, DBMON_HOME=nothing)
        assert (done.returncode, done.stderr) == (0, "")
        assert {Path(line) for line in done.stdout.splitlines()} == {
            folder / path for path in files_in(folder)
        }
    assert files_in(folder) == files_in(COMMITTED)
    assert not nothing.exists()


def told(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a refusal."""
    assert (done.returncode, done.stdout) == (3, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("dbmon: ")
    assert not line.startswith("dbmon: unexpected")
    return line.removeprefix("dbmon: ")


@pytest.mark.parametrize("is_file", [True, False])
def test_a_folder_that_cannot_be_written(tmp_path: Path, is_file: bool) -> None:
    """Named, with the remedy; nothing is left there."""
    folder = tmp_path / "there"
    if is_file:
        folder.write_text("precious")
    else:
        folder.mkdir(mode=0o555)
    done = run_dbmon("grafana", "export", folder, first=DROP_PRIVILEGES)
    assert re.fullmatch(
        rf"{re.escape(str(folder))} cannot be written"
        r" \((Not a directory|File exists|Permission denied)\): name a folder that you may write",
        told(done),
    )
    assert (folder.read_text() == "precious") if is_file else not [*folder.iterdir()]


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ("$__timeTo(): {MORE}", "'$__timeTo()' would be taken for a variable or a template"),
        ("'{{ x }}': {MORE}", "'{{ x }}' would be taken for a variable or a template"),
        ("'[[repo]]': {MORE}", "'[[repo]]' would be taken for a variable or a template"),
        ("r: {MORE, owner: $HOME}", "'$HOME' would be taken for a variable or a template"),
        ("r: {MORE, labels: {scope: x}}", "the label 'scope' is one that Grafana or this project"),
        ("r: {MORE, labels: {__name__: x}}", "the label '__name__' is one that Grafana or this"),
        (f"{'r' * 182}: {{MORE}}", "its name has more than 181 characters"),
        ("' ': {MORE}", "it has no name"),
    ],
)
def test_a_rule_that_grafana_cannot_express(tmp_path: Path, rules: str, words: str) -> None:
    """Named, and why."""
    more = "measurement: error_rate, above: {warning: 0.1}"
    with pytest.raises(ExportError) as refused:
        provisioning(config(tmp_path, rules.replace("MORE", more)))
    assert words in str(refused.value)
    assert str(refused.value).startswith("the rule '")


def config(folder: Path, rules: str) -> MonitoringConfig:
    """A rules file, read as the command reads it."""
    file = folder / "rules.yaml"
    file.write_text(f"rules:\n  {rules}\n", "utf-8")
    return Settings.load(environ={"DBMON_CONFIG": str(file)}).config


def test_nothing_is_written_if_a_rule_cannot_be_expressed(tmp_path: Path) -> None:
    """One line says which, and what to do."""
    config(tmp_path, "'$x': {measurement: error_rate, above: {warning: 0.1}}")
    out = tmp_path / "out"
    done = dbmon_here("grafana", "export", out, DBMON_CONFIG=tmp_path / "rules.yaml")
    assert told(done) == (
        "the rule '$x' cannot be expressed in Grafana: '$x' would be taken for a variable or a"
        " template: change that in the rules file, or disable the rule"
    )
    assert not out.exists()


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("README.md", b"mine"),
        ("README.md", b"# dbmon in Grafana, as we use it\n"),
        ("README.md", b"\xff"),
        ("datasources/dbmon.yaml", b"apiVersion: 1\n"),
        ("dashboards/overview.json", b'{"uid": "mine"}'),
        ("dashboards/overview.json", b'["dbmon-overview"]'),
        ("dashboards/overview.json", b"{"),
        ("dashboards/dbmon.yaml", None),
    ],
)
def test_what_others_have_made_stays(tmp_path: Path, path: str, content: bytes | None) -> None:
    """A file of theirs, or a folder, is named, and nothing is written beside it."""
    there = tmp_path / path
    there.parent.mkdir(exist_ok=True)
    if content is None:
        there.mkdir()
    else:
        there.write_bytes(content)
    before = [*tmp_path.rglob("*")]
    with pytest.raises(ExportError, match=rf"^{re.escape(str(there))} is there already, and was"):
        export(Settings.load(environ={}).config, tmp_path)
    assert [*tmp_path.rglob("*")] == before
    assert content is None or there.read_bytes() == content


def test_an_older_export_is_replaced(tmp_path: Path) -> None:
    """Its files are known by their first lines, and a dashboard by its identifier."""
    for path, text in files_in(COMMITTED).items():
        is_dashboard = path.endswith(".json")
        older = {"uid": json.loads(text)["uid"]} if is_dashboard else text.partition("\n")[0]
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(json.dumps(older) if is_dashboard else str(older), "utf-8")
    export(Settings.load(environ={}).config, tmp_path)
    assert files_in(tmp_path) == files_in(COMMITTED)


def test_names_that_are_odd_but_can_be(tmp_path: Path) -> None:
    """Quotes, spaces, emoji and length: each rule has an identifier that Grafana takes."""
    more = "{measurement: error_rate, above: {warning: 0.1, critical: 0.2}}"
    names = ["it's", '"quoted"', "a b", "😀", "r" * 181]
    rules = "\n  ".join(f"{json.dumps(name, ensure_ascii=False)}: {more}" for name in names)
    document = yaml.safe_load(provisioning(config(tmp_path, rules))["alerting/rules.yaml"])
    assert problems(document, "alerting.schema.json") == []
    alerts = [rule for group in document["groups"] for rule in group["rules"]]
    ours = [alert for alert in alerts if alert["labels"]["rule"] in names]
    assert len({alert["uid"] for alert in ours}) == 2 * len(names)
    assert "rule = 'it''s'" in json.dumps(ours)


def test_other_commands_do_not_load_the_library() -> None:
    """It takes longer to import than they take."""
    code = (
        "import sys\nfrom dbmon_pipeline.faces.cli.main import main\n"
        "sys.argv = ['dbmon', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('grafana_foundation_sdk' in sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "False"
