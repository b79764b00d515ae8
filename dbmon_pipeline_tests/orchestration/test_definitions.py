"""What Dagster is told is complete, valid for its own tools, and merges with what others tell."""

import json
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from dbmon_pipeline.core.common.shipped import shipped
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.generation.generation import read_parquet
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.schema.catalogue import ROLLED_UP, TABLES
from dbmon_pipeline.core.schema.executions import COLUMNS
from dbmon_pipeline.orchestration.definitions_builder import build_definitions
from dbmon_pipeline.orchestration.instance import LOCATION
from dbmon_pipeline_tests.helpers import (
    clean_environ,
    execution,
    make_source,
    refresh_core,
    settings_for,
)
from dbmon_pipeline_tests.orchestration.site import HOUR, NOON, Site

ROOT = Path(__file__).parents[2]
SETTINGS = Settings.load(environ={})
DEFINITIONS = build_definitions(SETTINGS)
REPORTS = ("daily_report", "weekly_report")
SPECS = {spec.key.to_user_string(): spec for spec in DEFINITIONS.resolve_all_asset_specs()}


def run(site: Site, *command: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a command of Dagster's for a home."""
    return subprocess.run(
        [str(Path(sys.executable).with_name(command[0])), *command[1:]],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=clean_environ(
            DAGSTER_HOME=site.home.dagster, DBMON_HOME=site.home.path, DBMON_SOURCE=site.source
        ),
    )


def test_dagsters_own_validation_passes(site: Site, tmp_path: Path) -> None:
    """The workspace file loads in a process of its own, as ``dagster dev`` loads it."""
    workspace = str(shipped("workspace.yaml"))
    done = run(site, "dagster", "definitions", "validate", "-w", workspace, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"Validation successful for code location {LOCATION}" in done.stderr + done.stdout


def test_dg_finds_the_project(site: Site) -> None:
    """By its section of ``pyproject.toml``."""
    done = run(site, "dg", "check", "defs")
    assert done.returncode == 0, done.stderr
    assert "All definitions loaded successfully." in done.stdout


def test_a_launch_without_config_refreshes(site: Site, tmp_path: Path) -> None:
    """In Dagster's own executor, which runs the step and the reports in processes of their own."""
    make_source(site.source, [execution(NOON - n * HOUR) for n in range(5)])
    code = ("-m", "dbmon_pipeline.definitions")
    done = run(site, "dagster", "asset", "materialize", "--select", "*", *code, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert site.published().manifest.executions == 5
    made = site.last_run()
    assert {*site.materialized(made.run_id)} == {*SPECS} - {"executions"}
    assert list(site.home.live_runs.iterdir()) == []


def test_one_table_alone_is_refused() -> None:
    """A refresh is one step, which makes all of them or nothing."""
    part = dg.define_asset_job("part", selection=["daily_summary"])
    definitions = dg.Definitions(assets=DEFINITIONS.assets, jobs=[part])
    with pytest.raises(dg.DagsterInvalidDefinitionError) as refused:
        definitions.resolve_job_def("part")
    assert isinstance(refused.value.__cause__, dg.DagsterInvalidSubsetError)


def test_the_lineage_is_that_of_the_selects() -> None:
    """What a table is made from stands in the header of its SELECT."""
    dependencies = {
        name: {dep.asset_key.to_user_string() for dep in spec.deps} for name, spec in SPECS.items()
    }
    headers = {}
    for table in ("hour_ledger", *(one.name for one in ROLLED_UP)):
        lines = shipped("sql", "rollups", f"{table}.sql").read_text("utf-8").splitlines()
        (source,) = (line.removeprefix("-- From: ") for line in lines if "-- From: " in line)
        headers[table] = {source}
    assert headers["daily_summary"] == {"hourly_summary"}
    assert headers["solution_patterns"] == {"daily_patterns"}
    assert dependencies == {
        "executions": set(),
        **headers,
        "refresh_history": {"hour_ledger"},
        "check_history": {table.name for table in ROLLED_UP},
        "publication": {*TABLES},
        **{name: {"publication"} for name in REPORTS},
    }


@pytest.mark.parametrize("name", sorted(SPECS))
def test_every_asset_says_what_it_is(name: str) -> None:
    """A group, kinds, an owner and a description; all but the source lead to their code."""
    spec = SPECS[name]
    group = {
        "executions": "1_source",
        "hour_ledger": "2_ledger",
        "refresh_history": "2_ledger",
        "check_history": "4_checks",
        "publication": "5_published",
        **dict.fromkeys(REPORTS, "6_reports"),
    }
    assert spec.group_name == group.get(name, "3_summaries")
    assert spec.kinds
    assert spec.owners == ["team:monitoring"]
    assert spec.description
    assert len(spec.description) > 20
    assert spec.partitions_def is None
    assert bool(spec.freshness_policy) is (name == "publication")
    if name == "executions":
        return
    files = []
    for reference in spec.metadata["dagster/code_references"].code_references:
        assert isinstance(reference, dg.LocalFileCodeReference)
        path = Path(reference.file_path)
        assert reference.line_number
        assert reference.line_number <= len(path.read_text().splitlines())
        files.append(path.name)
    assert {"assets.py", "reports.py"} & {*files}
    table = TABLES.get(name)
    if table and table.source:
        assert f"{name}.sql" in files
        assert table.select in spec.description


def test_tables_have_the_columns_that_they_declare(tmp_path: Path) -> None:
    """Those of the published files."""
    settings = settings_for(tmp_path)
    make_source(settings.source, [execution(NOON - HOUR)])
    refresh_core(settings, NOON)
    declared, actual = {}, {}
    with Published(settings.home) as published:
        for name in TABLES:
            assert SPECS[name].metadata["dagster/table_name"] == name
            columns = SPECS[name].metadata["dagster/column_schema"].columns
            declared[name] = [(column.name, column.type) for column in columns]
            described = published.con.execute(
                f"DESCRIBE FROM {read_parquet(published.files(name))}"
            ).fetchall()
            actual[name] = [(column, kind) for column, kind, *_ in described]
    assert declared == actual
    source = SPECS["executions"].metadata["dagster/column_schema"].columns
    assert [column.name for column in source] == [column.name for column in COLUMNS]


def test_the_jobs() -> None:
    """Each runs in one process; the refresh makes all but the reports; none has a partition."""
    repository = DEFINITIONS.get_repository_def()
    jobs = {job.name: job for job in repository.get_all_jobs()}
    ours = {"refresh", "retention", "daily_reporting", "weekly_reporting"}
    assert {*jobs} == ours | {"__ASSET_JOB"}
    for name in ours:
        assert jobs[name].description
        assert jobs[name].executor_def is dg.in_process_executor
        assert jobs[name].partitions_def is None
    keys = jobs["refresh"].asset_layer.executable_asset_keys
    assert {key.to_user_string() for key in keys} == {*SPECS} - {"executions", *REPORTS}
    assert [node.name for node in jobs["refresh"].nodes] == ["refresh_tables"]
    assert {one.default_status.value for one in repository.schedule_defs} == {"RUNNING"}
    assert {one.default_status.value for one in repository.sensor_defs} == {"RUNNING"}


def test_every_check_says_what_it_compares() -> None:
    """Eleven on what was read and made, and one for each rule that is on."""
    graph = DEFINITIONS.resolve_asset_graph()
    specs = [graph.get_check_spec(key) for key in graph.asset_check_keys]
    rules = [rule for rule in SETTINGS.config.rules.values() if rule.enabled]
    assert len(specs) == 11 + len(rules)
    assert all(spec.description for spec in specs)


def test_two_projects_merge_with_a_host(tmp_path: Path) -> None:
    """Who has an executor, a resource and assets of the names that ours have without a prefix."""

    @dg.asset
    def executions() -> None:
        """The host's own."""

    @dg.job
    def a_job_of_the_host() -> None:
        """Nothing."""

    host = dg.Definitions(
        assets=[executions],
        jobs=[a_job_of_the_host],
        resources={"warehouse": dg.ResourceDefinition.hardcoded_resource(1)},
        executor=dg.multiprocess_executor,
    )
    one = build_definitions(settings_for(tmp_path / "1"), key_prefix=["fleet", "one"], name="one")
    two = build_definitions(settings_for(tmp_path / "2"), name="two")
    merged = dg.Definitions.merge(host, one, two)
    dg.Definitions.validate_loadable(merged)
    keys = {spec.key.to_user_string() for spec in merged.resolve_all_asset_specs()}
    assert keys == {
        "executions",
        *(f"fleet/one/{name}" for name in SPECS),
        *(f"two/{name}" for name in SPECS),
    }
    assert merged.executor is dg.multiprocess_executor
    for name in ("one_refresh", "two_refresh", "one_retention", "two_daily_reporting"):
        assert merged.resolve_job_def(name).executor_def is dg.in_process_executor
    assert {*(merged.resources or {})} == {"warehouse", "one_tables", "two_tables"}
    (node,) = merged.resolve_job_def("two_refresh").nodes
    assert node.name == "two_refresh_tables"


def test_ours_merges_with_another_of_ours(site: Site) -> None:
    """The default names beside those of a second source; its run publishes in its home alone."""
    make_source(site.source, [execution(NOON - HOUR)])
    other = settings_for(site.source.parent / "other")
    merged = dg.Definitions.merge(
        build_definitions(other), build_definitions(site.settings, name="b")
    )
    done = merged.resolve_job_def("b_refresh").execute_in_process(instance=site.instance)
    assert done.success
    assert site.published().manifest.executions == 1
    assert not other.home.path.exists()
    made = {key.to_user_string() for key in site.instance.all_asset_keys()}
    assert "b/publication" in made
    assert "publication" not in made


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
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(json.dumps([len(names), sorted({{name.split(".")[0] for name in sys.modules}})]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    modules, imported = json.loads(done.stdout)
    assert modules >= 5
    assert "duckdb" in imported
    assert sorted(set(strangers) & set(imported)) == []
