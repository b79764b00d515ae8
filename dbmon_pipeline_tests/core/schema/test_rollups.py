"""Every summary table against brute force, on real and on made-up executions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.config.monitoring import Redaction
from dbmon_pipeline.core.learning_db.load import load
from dbmon_pipeline.core.learning_db.sample import Scenario, make_sample
from dbmon_pipeline.core.schema.catalogue import TABLES
from dbmon_pipeline_tests.helpers import published_rows, refresh_core, settings_for
from dbmon_pipeline_tests.oracle import assert_same_rows, expected_tables, percentile

AIDER = Path(__file__).parents[2] / "data" / "executions_aider_leaderboards.parquet"
AUTOCODEROVER = Path(__file__).parents[4] / "shared" / "data" / "executions_autocoderover.parquet"


def _made_up(path: Path) -> None:
    make_sample(
        path,
        rows=6_000,
        days=100,
        end=datetime(2026, 11, 20, 12),
        seed=7,
        scenario=Scenario.INCIDENT,
        embeddings=False,
    )


SOURCES: list[tuple[Callable[[Path], object], datetime]] = [
    (lambda path: load(AIDER, path), datetime(2025, 10, 10)),
    (_made_up, datetime(2026, 11, 20, 12)),
    (_made_up, datetime(2026, 11, 1, 0, 0, 1)),
    *(
        [(lambda path: load(AUTOCODEROVER, path), datetime(2024, 4, 6, 7))]
        if AUTOCODEROVER.exists()
        else []
    ),
]


@pytest.mark.parametrize(("make", "as_of"), SOURCES)
def test_tables_equal_brute_force(
    tmp_path: Path, make: Callable[[Path], object], as_of: datetime
) -> None:
    """All rows and all columns of every table."""
    site = settings_for(tmp_path, redaction=Redaction(enabled=False))
    make(site.source)
    refresh_core(site, as_of)
    with connect(site.source) as con:
        found = con.execute(
            "SELECT * EXCLUDE (embedding, metadata) REPLACE (CAST(task_id AS VARCHAR) AS task_id)"
            " FROM executions"
        )
        names = [column[0] for column in found.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    assert len(rows) > 100
    for table, expected in expected_tables(rows, as_of).items():
        known = expected[0].keys() if expected else ()
        actual = [{name: row[name] for name in known} for row in published_rows(site, table)]
        assert_same_rows(actual, expected, where=table)


def test_the_real_runs_add_up(tmp_path: Path) -> None:
    """181 benchmark runs that cost $1,721.77, as their source says."""
    site = settings_for(tmp_path)
    load(AIDER, site.source)
    refresh_core(site, datetime(2025, 10, 10))
    rows = published_rows(site, "hourly_summary")
    assert sum(_number(row["executions"]) for row in rows) == 181
    cost = math.fsum(_number(row["actual_cost_sum"]) for row in rows if row["actual_cost_sum"])
    assert cost == pytest.approx(1721.77, abs=0.01)


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    """One instance for all examples."""
    with connect() as con:
        yield con


@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(st.floats(1e-6, 1e7), min_size=1, max_size=60),
    fraction=st.sampled_from([0.0, 0.01, 0.5, 0.95, 0.99, 1.0]),
)
def test_percentiles_from_buckets_are_within_one_percent(
    engine: duckdb.DuckDBPyConnection, values: list[float], fraction: float
) -> None:
    """Whatever hours, tiers and pools the values are spread over, merged by addition."""
    rollup = TABLES["hourly_distribution"]
    start = datetime(2026, 5, 20)
    engine.execute(
        "CREATE OR REPLACE TABLE executions AS"
        " SELECT $start + n % 5 * INTERVAL 1 HOUR AS timestamp,"
        " 'tier' || n % 3 AS model_tier, 'p' AS pool_type, value AS duration_seconds,"
        " CAST(NULL AS DOUBLE) AS peak_memory_mb"
        " FROM (SELECT unnest($values) AS value, unnest(range(len($values))) AS n)",
        {"start": start, "values": values},
    )
    cells = engine.execute(
        f"SELECT bucket, sum(n) FROM ({rollup.select}) GROUP BY bucket ORDER BY bucket",
        {"window_start": start, "window_end": start + timedelta(days=1)},
    ).fetchall()
    gamma = 1.01 / 0.99
    estimates = [2 * gamma**bucket / (gamma + 1) for bucket, n in cells for _ in range(int(n))]
    exact, estimate = percentile(values, fraction), percentile(estimates, fraction)
    assert exact is not None
    assert estimate == pytest.approx(exact, rel=0.01 + 1e-9)


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return value
