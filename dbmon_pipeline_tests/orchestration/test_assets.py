"""A refresh materializes what it should, and its metadata says what it did."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.schema.rollups import ROLLUPS
from dbmon_pipeline_tests.helpers import add_rows, execution, make_source
from dbmon_pipeline_tests.orchestration.site import DAY, HOUR, MINUTE, NOON, TODAY, Site, keys

FIRST_DAY = TODAY - 3 * DAY
LATE = NOON - 2 * DAY - 3 * HOUR

RULES = Settings.load(environ={}).config.rules


@pytest.fixture(scope="module")
def first(shared_site: Site) -> dg.DagsterRun:
    """The first refresh, of four days with 30 executions, and one that lies ahead."""
    rows = [
        execution(
            NOON - 3 * DAY + number * 2.4 * HOUR,
            success=number % 5 != 0,
            error_type="timeout" if number % 5 == 0 else None,
            pool_type=("main", "spot")[number % 2],
            complexity_score=number % 7,
            solution_summary="Guard against NULL",
        )
        for number in range(30)
    ]
    make_source(shared_site.source, [*rows, execution(NOON + MINUTE)])
    return shared_site.refresh(FIRST_DAY, TODAY)


@pytest.fixture(scope="module")
def before_second(shared_site: Site, first: dg.DagsterRun) -> dict[str, int]:
    """The storage ids of the latest materializations, before the second refresh."""
    assert first.is_success
    return _storage_ids(shared_site)


@pytest.fixture(scope="module")
def second(shared_site: Site, before_second: dict[str, int]) -> dg.DagsterRun:
    """A refresh half an hour later, of a late row and two new ones."""
    assert before_second
    shared_site.clock.now = NOON + 30 * MINUTE
    add_rows(
        shared_site.source,
        [
            execution(LATE, complexity_score=5),
            execution(NOON + 2 * MINUTE, complexity_score=5),
            execution(NOON + 3 * MINUTE),
        ],
    )
    return shared_site.refresh(LATE.date(), TODAY)


def _storage_ids(site: Site) -> dict[str, int]:
    return dict(
        site.instance.event_log_storage.get_latest_storage_id_by_partition(
            dg.AssetKey("executions"), dg.DagsterEventType.ASSET_MATERIALIZATION
        )
    )


def test_first_run_materializes_the_stretch_and_nothing_else(
    shared_site: Site, first: dg.DagsterRun, before_second: dict[str, int]
) -> None:
    """Four days, every table, the publication: once each."""
    assert first.status is dg.DagsterRunStatus.SUCCESS
    assert set(before_second) == keys(FIRST_DAY, TODAY)
    assert len(before_second) == 4
    events = shared_site.instance.all_logs(
        first.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
    )
    found = [event.get_dagster_event().asset_key for event in events]
    made = [key.to_user_string() for key in found if key]
    summaries = [rollup.name for rollup in ROLLUPS]
    assert sorted(made) == sorted(["executions"] * 4 + summaries + ["check_history", "publication"])


def test_run_shows_among_the_jobs_runs(first: dg.DagsterRun) -> None:
    """The tag that a run in process has only if it is given."""
    assert first.tags[".dagster/repository"] == "__repository__@dbmon_pipeline"
    assert first.job_name == "refresh"


def test_all_checks_are_evaluated_and_pass(shared_site: Site, first: dg.DagsterRun) -> None:
    """On good data none fails, and they looked at all of it."""
    checks = shared_site.checks(first.run_id)
    assert set(checks) == {
        ("executions", "schema_contract"),
        ("executions", "source_shrank"),
        ("executions", "equals_source"),
        ("executions", "unique_task_id"),
        ("executions", "values_in_range"),
        ("executions", "errors_match_success"),
        ("executions", "not_in_future"),
        ("executions", "within_history"),
        *((rollup.name, "equals_executions") for rollup in ROLLUPS),
        *(("check_history", name) for name, rule in RULES.items() if rule.enabled),
    }
    assert [key for key, check in checks.items() if not check.passed] == []
    assert checks["executions", "values_in_range"].metadata["executions"].value == 30
    compared = checks["executions", "equals_source"].metadata["figures_compared"].value
    (hours,) = shared_site.in_source(
        "SELECT count(DISTINCT date_trunc('hour', timestamp)) * 4 FROM executions"
        " WHERE timestamp < $noon",
        noon=NOON,
    )
    assert (compared,) == hours


def test_metadata_of_the_first_extraction(shared_site: Site, first: dg.DagsterRun) -> None:
    """The numbers equal those that the source gives."""
    (record,) = shared_site.instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey("executions"), asset_partitions=[FIRST_DAY.isoformat()]),
        limit=1,
    ).records
    assert record.run_id == first.run_id
    assert record.asset_materialization
    metadata: dict[str, Any] = {
        name: value.value for name, value in record.asset_materialization.metadata.items()
    }
    ((rows, hours, days),) = shared_site.in_source(
        "SELECT count(*), count(DISTINCT date_trunc('hour', timestamp)),"
        " count(DISTINCT CAST(timestamp AS DATE)) FROM executions WHERE timestamp < $noon",
        noon=NOON,
    )
    assert (rows, days) == (30, 4)
    assert metadata["rows_extracted"] == rows
    assert metadata["hours_touched"] == hours
    assert metadata["days_touched"] == days
    assert metadata["days"] == "2025-06-08, 2025-06-09, 2025-06-10, 2025-06-11"
    assert metadata["late_rows_repaired"] == 0
    assert metadata["hours_left"] == 0
    assert metadata["unrepairable_hours"] == 0
    assert metadata["data_through"] == "2025-06-11T12:00:00Z"
    assert metadata["source_attaches"] >= 3
    assert 0 < metadata["longest_lock_ms"] <= metadata["total_lock_ms"] < 60_000


def test_source_is_observed(shared_site: Site, first: dg.DagsterRun) -> None:
    """What the source is, and what of it lies outside of the monitored time."""
    records = shared_site.instance.fetch_observations(
        dg.AssetKey("learning_db"), limit=10, ascending=True
    ).records
    observation = records[0].asset_observation
    assert records[0].run_id == first.run_id
    assert observation
    metadata: dict[str, Any] = {name: value.value for name, value in observation.metadata.items()}
    assert metadata["path"] == str(shared_site.source)
    assert metadata["inode"] == shared_site.source.stat().st_ino
    assert metadata["size_bytes"] > 0
    assert metadata["future_rows"] == 1
    assert metadata["rows_before_history"] == 0
    assert metadata["rows_without_timestamp"] == 0


def test_second_run_touches_its_stretch_alone(
    shared_site: Site, before_second: dict[str, int], second: dg.DagsterRun
) -> None:
    """Days outside of it keep the materialization that they have."""
    assert second.is_success
    after = _storage_ids(shared_site)
    newer = {day for day, storage_id in after.items() if storage_id > before_second.get(day, 0)}
    assert newer == {"2025-06-09", "2025-06-10", "2025-06-11"}
    assert set(after) == set(before_second)


def test_metadata_of_the_second_extraction(shared_site: Site, second: dg.DagsterRun) -> None:
    """Two hours are copied whole; one row of them is late."""
    metadata = shared_site.metadata("executions")
    touched = (LATE.replace(minute=0), NOON)
    ((rows,),) = shared_site.in_source(
        "SELECT count(*) FROM executions WHERE date_trunc('hour', timestamp) IN ($late, $noon)",
        late=touched[0],
        noon=touched[1],
    )
    assert second.is_success
    assert rows >= 4
    assert metadata["rows_extracted"] == rows
    assert metadata["hours_touched"] == 2
    assert metadata["days_touched"] == 2
    assert metadata["days"] == "2025-06-09, 2025-06-11"
    assert metadata["late_rows_repaired"] == 1
    assert metadata["data_through"] == "2025-06-11T12:30:00Z"


_EXPECTED = {
    "hourly_summary": "SELECT DISTINCT date_trunc('hour', timestamp), repo, task_type, model_tier,"
    " pool_type FROM executions",
    "hourly_totals": "SELECT DISTINCT date_trunc('hour', timestamp), model_tier, pool_type"
    " FROM executions",
    "daily_summary": "SELECT DISTINCT CAST(timestamp AS DATE), repo, task_type, model_tier,"
    " pool_type FROM executions",
    "tier_performance": "SELECT DISTINCT CAST(timestamp AS DATE), repo, model_tier, task_type"
    " FROM executions",
    "pool_performance": "SELECT DISTINCT date_trunc('hour', timestamp), pool_type, repo"
    " FROM executions",
    "error_summary": "SELECT DISTINCT date_trunc('hour', timestamp), error_type, repo, task_type,"
    " model_tier, pool_type FROM executions WHERE error_type IS NOT NULL",
    "daily_error_summary": "SELECT DISTINCT CAST(timestamp AS DATE), error_type, repo, task_type,"
    " model_tier, pool_type FROM executions WHERE error_type IS NOT NULL",
    "hourly_complexity": "SELECT DISTINCT date_trunc('hour', timestamp), repo, model_tier,"
    " complexity_score FROM executions WHERE complexity_score IS NOT NULL",
    "daily_complexity": "SELECT DISTINCT CAST(timestamp AS DATE), repo, model_tier,"
    " complexity_score FROM executions WHERE complexity_score IS NOT NULL",
    "hourly_distribution": "SELECT DISTINCT date_trunc('hour', timestamp), model_tier, pool_type"
    " FROM executions WHERE duration_seconds IS NOT NULL",
    "daily_distribution": "SELECT DISTINCT CAST(timestamp AS DATE), model_tier, pool_type"
    " FROM executions WHERE duration_seconds IS NOT NULL",
    "solution_patterns": "SELECT solution_summary, repo FROM executions"
    " WHERE solution_summary IS NOT NULL GROUP BY ALL HAVING count(*) >= 5",
    "recent_executions": "SELECT task_id FROM executions"
    " WHERE timestamp >= TIMESTAMP '2025-06-09 12:30'",
}


@pytest.mark.parametrize("table", [rollup.name for rollup in ROLLUPS])
def test_row_counts_of_the_tables(shared_site: Site, second: dg.DagsterRun, table: str) -> None:
    """Each table has as many rows as its grain has values in the source."""
    metadata = shared_site.metadata(table)
    ((expected,),) = shared_site.in_source(f"SELECT count(*) FROM ({_EXPECTED[table]})")
    assert second.is_success
    assert expected > 0
    assert metadata["dagster/row_count"] == expected
    assert Published(shared_site.home).manifest.rows(table) == expected
    if table in ("solution_patterns", "recent_executions"):
        assert metadata["rows_written"] == expected
        assert (metadata["days_rolled_up"], metadata["days"]) == (0, "none")
    else:
        assert metadata["days_rolled_up"] == 2
        assert metadata["days"] == "2025-06-09, 2025-06-11"


def test_publication_tells_what_it_did(shared_site: Site, second: dg.DagsterRun) -> None:
    """Files of days that did not change are carried over."""
    metadata = shared_site.metadata("publication")
    manifest = Published(shared_site.home).manifest
    assert second.is_success
    assert metadata["generation"] == manifest.generation == 2
    assert metadata["as_of"] == "2025-06-11T12:30:00Z"
    assert metadata["data_through"] == "2025-06-11T12:30:00Z"
    assert metadata["folder"] == str(shared_site.home.current)
    # All tables by day keep the two days that did not change; those of errors may have fewer.
    assert metadata["files_carried_over"] >= 2 * (len(ROLLUPS) - 4)
    assert metadata["files_written"] + metadata["files_carried_over"] == sum(
        len(files) for files in manifest.tables.values()
    ) + _empty_days_written(shared_site)
    assert f"| {manifest.rows('hourly_summary'):,} |" in metadata["tables"]
    ((executions, rate, cost),) = shared_site.in_source(
        "SELECT count(*), avg(CAST(success AS INT)), sum(actual_cost) FROM executions"
        " WHERE timestamp >= $end - INTERVAL 24 HOUR AND timestamp < $end",
        end=manifest.as_of,
    )
    for line in (
        f"| executions | {executions:,} |",
        f"| success rate | {rate:.1%} |",
        f"| total cost | {'no data' if cost is None else f'{cost:,.2f} USD'} |",
    ):
        assert line in metadata["health"].splitlines()
    written = sum(
        path.stat().st_size
        for path in shared_site.home.current.resolve().rglob("*.parquet")
        if path.stat().st_nlink == 1
    )
    assert written <= metadata["bytes_written"] < written + 20_000


def _empty_days_written(site: Site) -> int:
    """Files that were written and held no row: of errors, at the most the two days that changed."""
    ((days,),) = site.in_source(
        "SELECT 2 - count(DISTINCT CAST(timestamp AS DATE)) FROM executions"
        " WHERE error_type IS NOT NULL"
        " AND CAST(timestamp AS DATE) IN (DATE '2025-06-09', DATE '2025-06-11')"
    )
    return int(days) * len([rollup for rollup in ROLLUPS if "error_type" in rollup.key])


def test_published_figures_are_those_of_the_source(
    shared_site: Site, second: dg.DagsterRun
) -> None:
    """Computed from the source in another way."""
    found = Published(shared_site.home).rows("daily_summary")
    column = found.columns.index
    totals: dict[Any, tuple[int, int, float]] = {}
    for row in found.rows:
        day = row[column("date")]
        n, good, seconds = totals.get(day, (0, 0, 0.0))
        totals[day] = (
            n + int(str(row[column("executions")])),
            good + int(str(row[column("successes")])),
            seconds + float(str(row[column("duration_sum")])),
        )
    expected: Any = shared_site.in_source(
        "SELECT CAST(timestamp AS DATE), count(*), count(*) FILTER (WHERE success),"
        " sum(duration_seconds) FROM executions GROUP BY 1"
    )
    assert second.is_success
    assert len(expected) == 4
    assert {day: pytest.approx(figures) for day, *figures in expected} == totals


def test_rows_ahead_wait_for_their_time(site: Site) -> None:
    """A row after the instant is read when its time has come, and is not late then."""
    make_source(site.source, [execution(NOON - HOUR), execution(NOON + 2 * MINUTE)])
    site.refresh()
    assert site.metadata("recent_executions")["dagster/row_count"] == 1
    site.clock.now = NOON + timedelta(minutes=2, microseconds=1)
    site.refresh()
    assert site.metadata("recent_executions")["dagster/row_count"] == 2
    assert site.metadata("executions")["late_rows_repaired"] == 0
