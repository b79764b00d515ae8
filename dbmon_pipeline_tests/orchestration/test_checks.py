"""Checks fail when they should, block when they must, and what they found wrong heals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from dbmon_pipeline.core.common.errors import RefreshError
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.schema.rollups import ROLLUPS, Rollup
from dbmon_pipeline.core.warehouse.extract import extract
from dbmon_pipeline.core.warehouse.extraction import Extraction
from dbmon_pipeline.core.warehouse.summaries import RolledUp, roll_up
from dbmon_pipeline.core.warehouse.warehouse import Warehouse
from dbmon_pipeline.orchestration import assets
from dbmon_pipeline_tests.helpers import add_rows, change_source, execution, make_source
from dbmon_pipeline_tests.orchestration.site import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    TODAY,
    Site,
    open_site,
    refreshed_template,
)

ID = "00000000-0000-4000-8000-000000000001"
AGO = NOON - HOUR
GOOD = [execution(AGO), execution(AGO - 3 * HOUR, success=False, error_type="timeout")]
LIMITS = [
    execution(AGO, quality_score=100, user_rating=5, duration_seconds=0, actual_cost=0),
    execution(AGO, quality_score=0, user_rating=1, cost_estimate=0),
    execution(AGO, quality_score=None, user_rating=None, duration_seconds=None, actual_cost=None),
    execution(NOON + 4 * MINUTE),
    execution(datetime.fromisoformat("2023-01-01")),
]
BAD: dict[str, tuple[list[dict[str, object]], dict[str, dict[str, int]]]] = {
    "nothing": (LIMITS, {}),
    "several": (
        [
            execution(AGO, task_id=ID),
            execution(AGO - HOUR, task_id=ID, error_type="timeout"),
            execution(AGO, quality_score=101),
            execution(NOON + 6 * MINUTE),
            execution(datetime.fromisoformat("2022-12-31T23:59:59")),
        ],
        {
            "unique_task_id": {"duplicate_task_ids": 1, "missing_task_ids": 0},
            "values_in_range": {"quality_out_of_range": 1},
            "errors_match_success": {"successes_with_error_type": 1},
            "not_in_future": {"far_future_rows": 1},
            "within_history": {"too_old_rows": 1, "rows_without_timestamp": 0},
        },
    ),
    "without id, time or cause": (
        [
            execution(AGO, task_id=None),
            execution(AGO, task_id=None, success=False),
            {**execution(AGO), "timestamp": None},
            execution(AGO, user_rating=0),
        ],
        {
            "unique_task_id": {"duplicate_task_ids": 0, "missing_task_ids": 2},
            "errors_match_success": {"failures_without_error_type": 1},
            "within_history": {"too_old_rows": 0, "rows_without_timestamp": 1},
            "values_in_range": {"rating_out_of_range": 1},
        },
    ),
    "rating 6": (
        [execution(AGO, user_rating=6)],
        {"values_in_range": {"rating_out_of_range": 1}},
    ),
    "negative quality": (
        [execution(AGO, quality_score=-1)],
        {"values_in_range": {"quality_out_of_range": 1}},
    ),
    "negative duration": (
        [execution(AGO, duration_seconds=-0.5)],
        {"values_in_range": {"negative_durations": 1}},
    ),
    "negative costs": (
        [execution(AGO, actual_cost=-0.5), execution(AGO, cost_estimate=-0.5)],
        {"values_in_range": {"negative_costs": 2}},
    ),
    "not finite": (
        [
            execution(AGO, duration_seconds=float("nan")),
            execution(AGO, actual_cost=float("inf")),
        ],
        {"values_in_range": {"not_finite_values": 2}},
    ),
    "unknown success": (
        [execution(AGO, success=None)],
        {"values_in_range": {"unknown_success": 1}},
    ),
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, empty_template: Path) -> Path:
    """What ``good`` is a copy of."""
    return refreshed_template(tmp_path_factory.mktemp("good") / "site", empty_template, GOOD, TODAY)


@pytest.fixture
def good(tmp_path: Path, template: Path) -> Iterator[Site]:
    """A home that has read good data."""
    with open_site(tmp_path / "site", template) as made:
        yield made


@pytest.mark.parametrize("case", BAD)
def test_bad_rows_are_told_and_do_not_block(site: Site, case: str) -> None:
    """One bad row must not stop the monitoring."""
    rows, expected = BAD[case]
    make_source(site.source, [*GOOD, *rows])
    run = site.refresh(TODAY - DAY, TODAY)
    failed = site.failed_checks(run.run_id)
    assert {key.removeprefix("executions:") for key in failed} == set(expected)
    for name, counts in expected.items():
        check = failed[f"executions:{name}"]
        assert check.severity is dg.AssetCheckSeverity.WARN
        assert not check.blocking
        assert {key: check.metadata[key].value for key in counts} == counts
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert site.generation == 1


def test_huge_values_that_cancel_out_do_not_block(site: Site) -> None:
    """Their sum is what is left of rounding, and differs with the order of adding."""
    costs = [3e38, 0.37, -3e38, 0.11, 1e17, -1e17, 0.3] * 5
    tiers = ("small", "medium", "large")
    rows = [
        execution(AGO - n * MINUTE / 2, actual_cost=cost, model_tier=tiers[n % 3])
        for n, cost in enumerate(costs)
    ]
    make_source(site.source, rows)
    run = site.refresh()
    assert run.is_success
    assert set(site.failed_checks(run.run_id)) == {"executions:values_in_range"}


def test_duplicates_are_named(site: Site) -> None:
    """An example helps to find them, however far apart they are."""
    make_source(site.source, [execution(AGO, task_id=ID), execution(AGO - 2 * DAY, task_id=ID)])
    run = site.refresh(TODAY - 2 * DAY, TODAY)
    check = site.failed_checks(run.run_id)["executions:unique_task_id"]
    assert check.metadata["example"].value == ID


def test_a_broken_contract_publishes_nothing(good: Site) -> None:
    """The check says which column; what was published stays."""
    before = Published(good.home).rows("daily_summary")
    _drop_views(good)
    change_source(good.source, "ALTER TABLE executions DROP model_tier")
    add_rows(good.source, [{k: v for k, v in execution(AGO).items() if k != "model_tier"}])
    with pytest.raises(RefreshError, match="has no column 'model_tier'"):
        good.refresh()
    run = good.last_run()
    failed = good.failed_checks(run.run_id)
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert set(failed) == {"executions:schema_contract"}
    check = failed["executions:schema_contract"]
    assert check.severity is dg.AssetCheckSeverity.ERROR
    assert check.blocking
    assert "executions has no column 'model_tier'" in check.metadata["problem"].value
    assert not _materializations(good, run)
    assert good.generation == 1
    assert Published(good.home).rows("daily_summary") == before


def test_a_missing_optional_column_is_named(site: Site) -> None:
    """It is told, and no failure."""
    make_source(site.source, GOOD)
    _drop_views(site)
    change_source(site.source, "ALTER TABLE executions DROP cpu_time_seconds")
    run = site.refresh()
    check = site.checks(run.run_id)["executions", "schema_contract"]
    assert check.passed
    assert check.metadata["missing_optional_columns"].value == "cpu_time_seconds"


def _drop_views(site: Site) -> None:
    for name, kind in site.in_source(
        "SELECT view_name, 'VIEW' FROM duckdb_views() WHERE NOT internal"
        " UNION ALL SELECT index_name, 'INDEX' FROM duckdb_indexes()"
    ):
        change_source(site.source, f"DROP {kind} {name}")


def _materializations(site: Site, run: dg.DagsterRun) -> set[str]:
    events = site.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    found = [event.get_dagster_event().asset_key for event in events]
    return {key.to_user_string() for key in found if key}


@pytest.mark.parametrize("table", ["hourly_summary", "recent_executions"])
def test_a_table_that_lost_rows_is_not_published_and_heals(good: Site, table: str) -> None:
    """The next refresh rolls up again what was found to be wrong."""
    add_rows(good.source, [execution(AGO), execution(AGO - DAY), execution(AGO - DAY - HOUR)])

    def lossy(warehouse: Warehouse, rollup: Rollup, as_of: datetime) -> RolledUp:
        result = roll_up(warehouse, rollup, as_of)
        if rollup.name == table:
            column = "timestamp" if rollup.window else rollup.time_column
            warehouse.con.execute(
                f"DELETE FROM {table} WHERE {column} = (SELECT min({column}) FROM {table})"
            )
        return result

    with good.patch.context() as patch:
        patch.setattr(assets, "roll_up", lossy)
        with pytest.raises(RefreshError, match=f"equals_executions of {table} failed"):
            good.refresh(TODAY - DAY, TODAY)
    run = good.last_run()
    failed = good.failed_checks(run.run_id)
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert set(failed) == {f"{table}:equals_executions"}
    check = failed[f"{table}:equals_executions"]
    assert check.severity is dg.AssetCheckSeverity.ERROR
    assert check.blocking
    assert check.metadata["figures_that_differ"].value >= 1
    assert "publication" not in _materializations(good, run)
    assert good.generation == 1

    # Yesterday is wrong, and the next refresh is of the open day alone.
    assert good.refresh().is_success
    assert good.generation == 2
    assert _published_executions(good) == 5
    assert Published(good.home).manifest.rows("recent_executions") == 5


def _published_executions(site: Site) -> int:
    found = Published(site.home).rows("hourly_summary")
    at = found.columns.index("executions")
    return sum(int(str(row[at])) for row in found.rows)


def _tampered(statement: str) -> Callable[..., Extraction]:
    def tampering(warehouse: Warehouse, *arguments: object, **named: object) -> Extraction:
        result: Extraction = extract(warehouse, *arguments, **named)  # type: ignore[arg-type]
        warehouse.con.execute(statement)
        return result

    return tampering


@pytest.mark.parametrize("days_back", [0, 40])
@pytest.mark.parametrize(
    "tamper",
    [
        "DELETE FROM executions WHERE task_type = 'victim'",
        "UPDATE executions SET actual_cost = 2 * actual_cost WHERE task_type = 'victim'",
        "INSERT INTO executions SELECT * REPLACE (timestamp + INTERVAL 1 HOUR AS timestamp,"
        " 'another' AS task_id) FROM executions WHERE task_type = 'victim'",
    ],
)
def test_a_wrong_copy_is_not_published_and_heals(good: Site, tamper: str, days_back: int) -> None:
    """The next refresh reads again what was found to be wrong, however old it is."""
    victim = AGO - 2 * HOUR - days_back * DAY
    add_rows(good.source, [execution(victim, task_type="victim"), execution(AGO)])
    with good.patch.context() as patch:
        patch.setattr(assets, "extract", _tampered(tamper))
        with pytest.raises(RefreshError, match="equals_source of executions failed"):
            good.refresh(victim.date(), victim.date() + DAY)
    run = good.last_run()
    failed = good.failed_checks(run.run_id)
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert set(failed) == {"executions:equals_source"}
    assert failed["executions:equals_source"].severity is dg.AssetCheckSeverity.ERROR
    assert _materializations(good, run) == {"executions"}
    assert good.generation == 1

    assert good.refresh().is_success
    assert good.generation == 2
    assert _published_executions(good) == 4
    assert good.warehouse(
        "SELECT timestamp, actual_cost FROM executions WHERE task_type = 'victim'"
    ) == [(victim, pytest.approx(0.01))]


def test_a_source_pruned_within_an_hour_does_not_block(site: Site) -> None:
    """Of the hour that is cut, the source's totals are new and ours are not."""
    old = NOON - 20 * DAY
    make_source(site.source, [execution(old), execution(old + 30 * MINUTE), execution(AGO)])
    site.refresh(old.date(), TODAY)
    change_source(site.source, "DELETE FROM executions WHERE timestamp < $at", at=old + 10 * MINUTE)
    assert site.refresh().is_success
    assert site.generation == 2
    assert _published_executions(site) == 3, "what its owner pruned stays in the summaries"


def test_a_changed_select_does_not_block_where_raw_rows_have_left(site: Site) -> None:
    """Days that cannot be compared are not."""
    old = NOON - 100 * DAY
    make_source(site.source, [execution(old), execution(AGO)])
    site.refresh(old.date(), TODAY)
    assert site.warehouse("SELECT timestamp FROM executions") == [(AGO,)]
    with Warehouse(site.home.warehouse) as warehouse, warehouse.transaction() as con:
        con.execute("UPDATE state SET value = 'of before' WHERE name LIKE 'select:%'")
    assert site.refresh().is_success
    assert site.generation == 2
    assert _published_executions(site) == 2, "the old day keeps its figures"


def test_checks_of_an_unfinished_refresh_survive_the_retention(site: Site) -> None:
    """Raw rows older than the kept window stay until what was made of them is published."""
    old = NOON - 100 * DAY
    make_source(site.source, [execution(AGO)])
    site.refresh()
    add_rows(site.source, [execution(old)])
    with site.patch.context() as patch:
        patch.setattr(assets, "publish", refuse)
        with pytest.raises(RefreshError, match="no publishing today"):
            site.refresh(old.date(), old.date())
    with Warehouse(site.home.warehouse) as warehouse:
        warehouse.forget_executions_before((NOON - 90 * DAY).date())
    assert site.refresh().is_success
    assert _published_executions(site) == 2
    assert site.warehouse("SELECT timestamp FROM executions") == [(AGO,)]


def refuse(*_: object, **__: object) -> None:
    """Takes the place of ``publish``: a refresh that comes that far and no further."""
    raise RefreshError("no publishing today", remedy="wait")


def test_every_summary_table_is_reconciled_when_nothing_changed(good: Site) -> None:
    """A table that was damaged between two refreshes is found although no day waits."""
    good.warehouse("UPDATE daily_summary SET executions = executions + 1 RETURNING 1")
    good.clock.now += timedelta(minutes=5)
    with pytest.raises(RefreshError, match="equals_executions of daily_summary failed"):
        good.refresh()
    assert good.refresh().is_success
    found = Published(good.home).rows("daily_summary")
    assert [row[found.columns.index("executions")] for row in found.rows] == [2]


def test_severities_and_blocking_are_set_always(site: Site) -> None:
    """Reconciliation blocks, the rest only tells."""
    make_source(site.source, GOOD)
    checks = site.checks(site.refresh().run_id)
    reconciling = {(r.name, "equals_executions") for r in ROLLUPS} | {
        ("executions", "equals_source"),
        ("executions", "schema_contract"),
        ("executions", "source_shrank"),
    }
    assert {key for key, check in checks.items() if check.blocking} == reconciling
    assert {
        key for key, check in checks.items() if check.severity is dg.AssetCheckSeverity.ERROR
    } == reconciling
