"""What Dagster is told is complete, is valid for its own tools, and stays out of the core."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from dbmon_pipeline.core.common.shipped import shipped
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.schema.executions import COLUMNS
from dbmon_pipeline.core.schema.rollups import BY_NAME, ROLLUPS
from dbmon_pipeline.core.warehouse.opening import open_warehouse
from dbmon_pipeline.definitions import defs
from dbmon_pipeline.orchestration.instance import LOCATION, prepare

SUMMARIES = [rollup.name for rollup in ROLLUPS]
REPORTS = ("daily_report", "weekly_report")
SPECS = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def test_dagsters_own_validation_passes(tmp_path: Path) -> None:
    """The workspace file loads in a process of its own, as ``dagster dev`` loads it."""
    home = Home(tmp_path / "home")
    workspace = shipped("workspace.yaml")
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("dagster")),
            *("definitions", "validate", "-w", str(workspace)),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "DAGSTER_HOME": str(prepare(home)), "DBMON_HOME": str(home.path)},
    )
    assert done.returncode == 0, done.stderr
    assert f"Validation successful for code location {LOCATION}" in done.stderr + done.stdout


def test_one_asset_for_each_table_and_step() -> None:
    """Nothing more, nothing less, in the order of the flow."""
    assert set(SPECS) == {
        *("learning_db", "executions", *SUMMARIES, "check_history", "publication"),
        *REPORTS,
    }
    dependencies = {
        name: {dep.asset_key.to_user_string() for dep in spec.deps} for name, spec in SPECS.items()
    }
    assert dependencies == {
        "learning_db": set(),
        "executions": {"learning_db"},
        **{name: {"executions"} for name in SUMMARIES},
        "check_history": set(SUMMARIES),
        "publication": {*SUMMARIES, "check_history"},
        **{name: {"publication"} for name in REPORTS},
    }


@pytest.mark.parametrize("name", sorted(SPECS))
def test_every_asset_says_what_it_is(name: str) -> None:
    """A group, kinds, an owner and a description, for the catalogue."""
    spec = SPECS[name]
    group = {
        "learning_db": "1_source",
        "executions": "2_warehouse",
        "check_history": "4_checks",
        "publication": "5_published",
        **dict.fromkeys(REPORTS, "6_reports"),
    }
    assert spec.group_name == group.get(name, "3_summaries")
    assert spec.kinds
    assert spec.owners == ["team:monitoring"]
    assert spec.description
    assert len(spec.description) > 20


@pytest.mark.parametrize("name", sorted(set(SPECS) - {"learning_db"}))
def test_every_asset_of_ours_leads_to_its_code(name: str) -> None:
    """The first reference is a file and a line that exist; a summary's is its SELECT."""
    references = SPECS[name].metadata["dagster/code_references"].code_references
    files = []
    for reference in references:
        assert isinstance(reference, dg.LocalFileCodeReference)
        path = Path(reference.file_path)
        assert path.exists()
        assert reference.line_number
        assert reference.line_number <= len(path.read_text().splitlines())
        files.append(path.name)
    assert {"assets.py", "reports.py"} & {*files} or name in BY_NAME
    if name in BY_NAME:
        assert f"{name}.sql" in files


@pytest.mark.parametrize("name", ["executions", *SUMMARIES, "check_history"])
def test_tables_have_the_columns_that_they_declare(name: str, tmp_path: Path) -> None:
    """The declared name and column schema are those of the warehouse."""
    metadata = SPECS[name].metadata
    assert metadata["dagster/table_name"] == f"warehouse.{name}"
    schema = metadata["dagster/column_schema"]
    declared = [(column.name, column.type) for column in schema.columns]
    with open_warehouse(Home(tmp_path)) as warehouse:
        described = warehouse.con.execute(f"DESCRIBE {name}").fetchall()
    actual = [(column, kind) for column, kind, *_ in described if column != "pruned"]
    assert declared == actual
    if name == "executions":
        assert [column for column, _ in declared] == [column.name for column in COLUMNS]
    elif name in BY_NAME:
        assert BY_NAME[name].select in (SPECS[name].description or "")


def test_only_executions_is_partitioned_and_backfills_in_one_run() -> None:
    """Each event of a partition costs milliseconds; see the module on partitions."""
    graph = defs.resolve_asset_graph()
    partitioned = {
        key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).partitions_def
    }
    assert partitioned == {"executions"}
    node = graph.get(dg.AssetKey("executions"))
    assert node.backfill_policy == dg.BackfillPolicy.single_run()
    days = node.partitions_def
    assert isinstance(days, dg.DailyPartitionsDefinition)
    assert days.timezone == "UTC"
    assert days.end_offset == 1
    assert days.get_first_partition_key() == "2023-01-01"


def test_all_schedules_and_sensors_are_on_from_the_start() -> None:
    """They take the place of cron, so nobody has to switch them on."""
    repository = defs.get_repository_def()
    assert {
        schedule.name: schedule.default_status for schedule in repository.schedule_defs
    } == dict.fromkeys(
        ("health_check", "hourly_refresh", "daily_refresh", "retention", *REPORTS),
        dg.DefaultScheduleStatus.RUNNING,
    )
    assert {
        sensor.name: sensor.default_status for sensor in repository.sensor_defs
    } == dict.fromkeys(("alert_sensor", "source_changes_sensor"), dg.DefaultSensorStatus.RUNNING)


def test_the_jobs() -> None:
    """The refresh is of every asset and check but the reports; all jobs run in one process."""
    jobs = {job.name: job for job in defs.get_repository_def().get_all_jobs()}
    ours = {"refresh", "retention", "daily_reporting", "weekly_reporting"}
    assert set(jobs) == ours | {"__ASSET_JOB"}
    assert all(jobs[name].description for name in ours)
    assert jobs["refresh"].executor_def is dg.in_process_executor
    refreshed = {key.to_user_string() for key in jobs["refresh"].asset_layer.executable_asset_keys}
    assert refreshed == set(SPECS) - {"learning_db", *REPORTS}


def test_every_check_says_what_it_compares() -> None:
    """On the data of the source, on the copy, and on what was made of it."""
    specs = [spec for check in defs.asset_checks or () for spec in check.check_specs]
    rules = [rule for rule in Settings.load(environ={}).config.rules.values() if rule.enabled]
    assert len(specs) == 6 + len(SUMMARIES) + len(rules)
    assert all(spec.description for spec in specs)


@pytest.mark.parametrize(
    ("package", "strangers"),
    [
        ("core", ["dagster", "dagster_duckdb", "pandas", "typer", "rich", "click"]),
        ("faces", ["dagster", "dagster_duckdb", "pandas"]),
    ],
)
def test_the_core_knows_no_orchestrator(package: str, strangers: list[str]) -> None:
    """Every module is imported in a fresh process, and nobody brings these along."""
    code = f"""
import importlib, json, pkgutil, sys
import dbmon_pipeline.{package} as package
names = [m.name for m in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
for name in names:
    importlib.import_module(name)
print(json.dumps([len(names), sorted({{name.split(".")[0] for name in sys.modules}})]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    modules, imported = json.loads(done.stdout)
    assert modules >= 5
    assert "duckdb" in imported
    assert sorted(set(strangers) & set(imported)) == []
