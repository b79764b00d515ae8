"""What the tree promises of itself: one name everywhere, bare SQL, no clock, light faces."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import msgspec
import pytest
import yaml

from dbmon_pipeline.core.common.shipped import shipped
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.config.rule import Measurement
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.schema.catalogue import HOUR_LEDGER, ROLLED_UP
from dbmon_pipeline.core.schema.executions import COLUMNS

ROOT = Path(__file__).parents[1]
SQL_FILES = sorted((ROOT / "sql").rglob("*.sql"))


def test_one_name_everywhere() -> None:
    """Each SELECT in sql/rollups is an entry of the catalogue, and the other way round."""
    files = {path.stem for path in (ROOT / "sql" / "rollups").iterdir()}
    assert files == {table.name for table in (HOUR_LEDGER, *ROLLED_UP)}


@pytest.mark.parametrize("path", SQL_FILES, ids=lambda path: path.stem)
def test_sql_says_what_a_row_is_and_asks_no_clock(path: Path) -> None:
    """Every file begins with a header; the instant is a parameter."""
    text = path.read_text("utf-8")
    assert text.startswith("-- ")
    statements = re.sub(r"--.*", "", text).lower()
    assert not re.search(r"\bnow\(\)|current_(timestamp|date|time)\b|\btoday\(\)", statements)
    if path.parent.name in ("rollups", "checks"):
        assert re.match(r"\s*(select|with)\b", statements)
        assert ";" not in statements
        assert {"$window_start", "$window_end"} <= set(re.findall(r"\$\w+", statements))


def test_the_contract_names_the_columns_that_are_read() -> None:
    """The 26 columns of the founding schema hold all of ours."""
    contract = (ROOT / "sql" / "source" / "executions.sql").read_text("utf-8")
    names = re.findall(r"^    (\w+) [A-Z]", contract, flags=re.MULTILINE)
    assert len(names) == 26
    assert set(names) - {column.name for column in COLUMNS} == {
        *("embedding", "metadata", "task_description"),
    }


def test_the_shipped_rules_are_the_defaults() -> None:
    """A limit that stands in two places stands there with one value."""
    shipped_rules = yaml.safe_load(shipped("config", "monitoring.yaml").read_text("utf-8"))
    del shipped_rules["redaction"], shipped_rules["rules"]
    assert msgspec.convert(shipped_rules, MonitoringConfig) == MonitoringConfig()


def test_the_runbook_has_a_section_for_every_rule_that_can_be() -> None:
    """A message at night points there: meaning, likely causes or what to look at, what to do."""
    runbook = (ROOT / "RUNBOOK.md").read_text("utf-8")
    sections = dict(re.findall(r"^#+ (.+)\n\n((?:(?!^#).*\n)*)", runbook, flags=re.MULTILINE))
    for name in (*get_args(Measurement), *Settings.load(environ={}).config.rules):
        assert "*Meaning*: " in sections[name], name
        assert "*Do*: " in sections[name], name
    for name in ("The pipeline itself", "Notifications do not arrive", "Testing a target"):
        assert sections[name].strip()


@pytest.mark.parametrize(
    "command",
    ["['--help']", "['tables', '--home', '/nowhere']", "['refresh', '--help']"],
)
def test_the_command_line_starts_without_dagster_and_pandas(command: str) -> None:
    """Only the commands that run the pipeline load it, and only when they do."""
    code = (
        "import sys\n"
        "from dbmon_pipeline.faces.cli.main import main\n"
        f"sys.argv = ['dbmon', *{command}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'dagster', 'pandas', 'pyarrow'} & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_no_registry_and_no_machine_is_named() -> None:
    """The lock files have hashes and no address."""
    for name in (
        "requirements.lock",
        "requirements-run.lock",
        "requirements-duckdb-1.5.lock",
        "requirements-duckdb-grafana.lock",
    ):
        text = (ROOT / name).read_text("utf-8")
        assert "--hash=sha256:" in text
        assert not re.search(r"https?://|--index-url|--find-links|file:", text)


def test_what_runs_for_good_is_what_is_tested() -> None:
    """In the same versions, with all that the package needs and without the tools."""

    def pinned(name: str) -> set[str]:
        text = (ROOT / name).read_text("utf-8")
        return set(re.findall(r"^([\w.-]+(?:\[[^]]*\])?==\S+)", text, re.MULTILINE))

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = {re.split(r"[=<>]", need)[0] for need in project["project"]["dependencies"]}
    runs = pinned("requirements-run.lock")
    names = {re.split(r"[=\[]", pin)[0] for pin in runs}
    assert runs < pinned("requirements.lock")
    assert wanted | {"hatchling"} <= names
    assert not names & {"pytest", "mypy", "ruff", "playwright"}
