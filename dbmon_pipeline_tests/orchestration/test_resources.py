"""The resource: published tables for the assets of a host, and nothing else on the disk."""

from pathlib import Path

import dagster as dg
import duckdb
import pytest

from dbmon_pipeline.core.common.errors import NotPublishedError
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.orchestration.definitions_builder import build_definitions
from dbmon_pipeline.orchestration.resources import PublishedResource
from dbmon_pipeline_tests.helpers import execution, make_source, refresh_core, settings_for
from dbmon_pipeline_tests.orchestration.site import DAY, HOUR, NOON


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with six executions in a folder whose name DuckDB could take for a pattern."""
    folder = tmp_path_factory.mktemp("it's a [home]")
    made = settings_for(folder)
    rows = [execution(NOON - n * HOUR, solution_summary="Retry") for n in range(1, 6)]
    make_source(made.source, [*rows, execution(NOON - 40 * DAY)])
    refresh_core(made, NOON)
    return made


def test_a_hosts_asset_asks_for_our_tables(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the key that carries the name, and whatever the environment says."""
    monkeypatch.setenv("DBMON_HOME", "/nowhere")

    @dg.asset(required_resource_keys={"agents_tables"})
    def failing_tiers(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        with context.resources.agents_tables.get_connection() as con:
            (count,) = con.execute("SELECT sum(total_executions) FROM tier_performance").fetchone()
        return dg.MaterializeResult(metadata={"executions": int(count)})

    ours = build_definitions(settings, name="agents")
    merged = dg.Definitions.merge(ours, dg.Definitions(assets=[failing_tiers]))
    job = merged.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(asset_selection=[failing_tiers.key])
    (made,) = result.asset_materializations_for_node("failing_tiers")
    assert made.metadata["executions"].value == 6


def test_the_views_of_the_founding_schema(settings: Settings) -> None:
    """With its columns, over its windows: the old day lies before that of 30 days."""
    with PublishedResource(home=str(settings.home.path)).get_connection() as con:
        tiers = con.execute("SELECT date, total_executions, avg_duration FROM tier_performance_mv")
        assert tiers.fetchall() == [(NOON.date(), 5, 12.5)]
        pools = con.execute("SELECT count(*), sum(total_tasks) FROM pool_performance_mv")
        assert pools.fetchall() == [(5, 5)]
        patterns = con.execute("SELECT solution_summary, usage_count FROM solution_patterns_mv")
        assert patterns.fetchall() == [("Retry", 5)]
        assert con.execute("SELECT count(*) FROM tier_performance").fetchall() == [(2,)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('{outside}')",
        "COPY (SELECT 1) TO '{outside}.csv'",
        "ATTACH '{outside}' AS other",
        "INSTALL httpfs",
        "SET enable_external_access = true",
    ],
)
def test_a_connection_is_locked_down(settings: Settings, tmp_path: Path, statement: str) -> None:
    """It reads the generation, and can open no other file."""
    outside = tmp_path / "secret.txt"
    outside.write_text("secret")
    with (
        PublishedResource(home=str(settings.home.path)).get_connection() as con,
        pytest.raises(duckdb.Error, match=r"disabled|locked|Permission|permission"),
    ):
        con.execute(statement.format(outside=outside)).fetchall()
    assert [path.name for path in tmp_path.iterdir()] == ["secret.txt"]


def test_a_connection_is_closed_whatever_happens(settings: Settings) -> None:
    """Unlike that of the class it is made from."""
    resource = PublishedResource(home=str(settings.home.path))
    with pytest.raises(ZeroDivisionError), resource.get_connection() as con:
        raise ZeroDivisionError
    with pytest.raises(duckdb.ConnectionException):
        con.execute("SELECT 1")


def test_a_home_without_anything_published(tmp_path: Path) -> None:
    """It is told at once."""
    with (
        pytest.raises(NotPublishedError, match="nothing is published"),
        PublishedResource(home=str(tmp_path)).get_connection(),
    ):
        pass
