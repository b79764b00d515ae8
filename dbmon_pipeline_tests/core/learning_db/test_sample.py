"""Made-up executions have the habits of real ones, and are the same wherever they are made."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import duckdb
import pytest

from dbmon_pipeline.core.common import duck
from dbmon_pipeline.core.common.errors import ConfigError
from dbmon_pipeline.core.common.instants import parse_instant
from dbmon_pipeline.core.learning_db import create as learning_db
from dbmon_pipeline.core.learning_db import sample
from dbmon_pipeline.core.learning_db.sample import Scenario, make_sample

END = parse_instant("2026-02-10T03:40:00Z")
"""A Tuesday."""

GOLDEN = 14139447915
"""The hashes of 500 rows, summed by column and added up."""


def made(
    path: Path,
    *,
    rows: int = 500,
    days: int = 10,
    end: datetime = END,
    seed: int = 1,
    scenario: Scenario = Scenario.HEALTHY,
    embeddings: bool = False,
) -> duckdb.DuckDBPyConnection:
    """A sample, open for questions."""
    make_sample(
        path,
        rows=rows,
        days=days,
        end=end,
        seed=seed,
        scenario=scenario,
        embeddings=embeddings,
    )
    return duckdb.connect(str(path), read_only=True)


def answers(con: duckdb.DuckDBPyConnection, query: str) -> dict[object, float]:
    """A figure for each group."""
    return dict(con.execute(query).fetchall())


def figure(con: duckdb.DuckDBPyConnection, expression: str) -> float:
    """A figure over all executions."""
    [(value,)] = con.execute(f"SELECT {expression} FROM executions").fetchall()
    assert isinstance(value, int | float)
    return value


def all_rows(con: duckdb.DuckDBPyConnection) -> list[tuple[object, ...]]:
    """Every row, in the order of time."""
    return con.execute("FROM executions ORDER BY timestamp, task_id").fetchall()


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    """40,000 executions over four whole weeks."""
    return made(tmp_path_factory.mktemp("healthy") / "learning.db", rows=40_000, days=28)


@pytest.fixture(scope="module")
def incident(tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    """20,000 executions over three days, so that the four hours hold enough of them."""
    path = tmp_path_factory.mktemp("incident") / "learning.db"
    return made(path, rows=20_000, days=3, scenario=Scenario.INCIDENT)


@pytest.fixture(scope="module")
def drift(tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    """20,000 executions over ten days."""
    path = tmp_path_factory.mktemp("drift") / "learning.db"
    return made(path, rows=20_000, days=10, scenario=Scenario.DRIFT)


def test_as_many_rows_as_asked_for_lie_before_the_end(healthy: duckdb.DuckDBPyConnection) -> None:
    """A row at or after the end would be counted as one from the future."""
    [(rows, ids, moments, first, last)] = healthy.execute(
        "SELECT count(*), count(DISTINCT task_id), count(DISTINCT timestamp), min(timestamp),"
        " max(timestamp) FROM executions"
    ).fetchall()
    assert (rows, ids) == (40_000, 40_000)
    assert moments > 39_990
    assert END - timedelta(days=28) <= first < END - timedelta(days=27, hours=22)
    assert END - timedelta(hours=2) < last < END
    assert figure(healthy, "count(*) FILTER (microsecond(timestamp) % 1000 > 0)") > 39_900


@pytest.mark.parametrize(("rows", "days"), [(1, 1), (7, 400), (20_000, 1)])
def test_few_and_many_rows_are_spread_alike(tmp_path: Path, rows: int, days: int) -> None:
    """Rounding an hour's share must neither lose a row nor make one twice."""
    con = made(tmp_path / "learning.db", rows=rows, days=days)
    [(count, ids, first, last)] = con.execute(
        "SELECT count(*), count(DISTINCT task_id), min(timestamp), max(timestamp) FROM executions"
    ).fetchall()
    assert (count, ids) == (rows, rows)
    assert END - timedelta(days=days) <= first <= last < END


def test_work_follows_the_hours_and_the_days_of_people(
    healthy: duckdb.DuckDBPyConnection,
) -> None:
    """Alerts on volume can only be tried on data with a rhythm."""
    by_hour = answers(healthy, "SELECT hour(timestamp), count(*) FROM executions GROUP BY ALL")
    by_day = answers(healthy, "SELECT isodow(timestamp), count(*) FROM executions GROUP BY ALL")
    assert set(by_hour) == set(range(24))
    assert min(by_hour[hour] for hour in range(10, 17)) > 2 * max(by_hour[hour] for hour in (0, 23))
    assert by_day[6] / by_day[3] == pytest.approx(0.5, abs=0.08)
    assert by_day[7] / by_day[2] == pytest.approx(0.5, abs=0.08)


def test_the_tiers_differ_in_what_they_cost_and_give(healthy: duckdb.DuckDBPyConnection) -> None:
    """A panel by tier would show nothing if they were alike."""
    by_tier = "FROM executions GROUP BY ALL"
    success = answers(healthy, f"SELECT model_tier, avg(CAST(success AS INT)) {by_tier}")
    assert success == {
        "small": pytest.approx(0.90, abs=0.012),
        "medium": pytest.approx(0.93, abs=0.012),
        "large": pytest.approx(0.955, abs=0.012),
    }
    assert figure(healthy, "avg(CAST(success AS INT))") == pytest.approx(0.92, abs=0.008)
    for measure, least_step in [("avg(actual_cost)", 4), ("median(duration_seconds)", 2)]:
        found = answers(healthy, f"SELECT model_tier, {measure} {by_tier}")
        assert found["medium"] > least_step * found["small"]
        assert found["large"] > least_step * found["medium"]
    quality = answers(healthy, f"SELECT model_tier, avg(quality_score) {by_tier}")
    assert quality["small"] + 5 < quality["medium"] < quality["large"] - 5


def test_task_types_differ_in_success(healthy: duckdb.DuckDBPyConnection) -> None:
    """The mix is skewed too: a rare type is where small samples are met."""
    rates = answers(
        healthy, "SELECT task_type, avg(CAST(success AS INT)) FROM executions GROUP BY ALL"
    )
    shares = answers(healthy, "SELECT repo, count(*) / 40000 FROM executions GROUP BY ALL")
    assert len(rates) == 7
    assert rates["code_review"] > rates["bug_fix"] > rates["feature"]
    assert len(shares) == 8
    assert shares["mahavishnu"] == pytest.approx(0.34, abs=0.01)
    assert shares["fastblocks"] == pytest.approx(0.02, abs=0.005)
    assert figure(healthy, "count(DISTINCT pool_type)") == 3


def test_durations_are_log_normal(healthy: duckdb.DuckDBPyConnection) -> None:
    """Within equal tasks the logarithm has the spread 0.6 and no skew: the tail is long."""
    [(spread, skew, excess)] = healthy.execute(
        "SELECT stddev(x), skewness(x), kurtosis(x) FROM ("
        " SELECT ln(duration_seconds) - avg(ln(duration_seconds)) OVER ("
        "  PARTITION BY model_tier, task_type, complexity_score) AS x FROM executions)"
    ).fetchall()
    assert spread == pytest.approx(0.6, abs=0.01)
    assert skew == pytest.approx(0, abs=0.06)
    assert excess == pytest.approx(0, abs=0.12)


def test_the_numbers_of_a_row_do_not_hang_together(healthy: duckdb.DuckDBPyConnection) -> None:
    """A hash of several values, used as it is, gives all but equal numbers for two purposes."""
    for one, other in [
        ("ln(peak_memory_mb)", "routing_confidence"),
        ("ln(peak_memory_mb)", "actual_cost / cost_estimate"),
        ("epoch(timestamp)", "complexity_score"),
        ("cpu_time_seconds / duration_seconds", "routing_confidence"),
    ]:
        assert abs(figure(healthy, f"corr({one}, {other})")) < 0.03, (one, other)


def test_values_stay_in_their_ranges(healthy: duckdb.DuckDBPyConnection) -> None:
    """What the schema says of a column holds for all rows, and NULL is met where it may be."""
    ranges = {
        "quality_score": (0, 100),
        "routing_confidence": (0, 1),
        "complexity_score": (1, 10),
        "user_rating": (1, 5),
        "file_count": (1, 20),
        "estimated_tokens": (1, 500_000),
        "duration_seconds": (0.01, 10_000),
        "peak_memory_mb": (30, 5_000),
    }
    for column, (low, high) in ranges.items():
        assert low <= figure(healthy, f"min({column})"), column
        assert figure(healthy, f"max({column})") <= high, column
    assert 0.15 < figure(healthy, "count(*) FILTER (quality_score IS NULL) / 40000") < 0.3
    assert figure(healthy, "count(user_accepted) / 40000") == pytest.approx(0.15, abs=0.01)
    assert figure(healthy, "count(user_rating) FILTER (user_accepted IS NULL)") == 0
    assert figure(healthy, "count(embedding)") == 0
    assert figure(healthy, "count(*) FILTER (json_valid(metadata))") == 40_000


def test_costs_stay_close_to_their_estimates(healthy: duckdb.DuckDBPyConnection) -> None:
    """Otherwise the rule about cost would fire on a healthy orchestrator."""
    assert figure(healthy, "sum(actual_cost) / sum(cost_estimate)") == pytest.approx(1, abs=0.02)
    assert figure(healthy, "count(*) FILTER (actual_cost IS NULL) / 40000") == pytest.approx(
        0.01, abs=0.003
    )


def test_failures_name_their_errors_but_for_a_few(healthy: duckdb.DuckDBPyConnection) -> None:
    """Both oddities are seen in the wild, and count as what success says."""
    [(kinds, messages, nameless, odd, unpaired)] = healthy.execute(
        "SELECT count(DISTINCT error_type), count(DISTINCT error_message),"
        " count(*) FILTER (NOT success AND error_type IS NULL),"
        " count(*) FILTER (success AND error_type IS NOT NULL),"
        " count(*) FILTER ((error_type IS NULL) <> (error_message IS NULL)) FROM executions"
    ).fetchall()
    assert kinds == 6
    assert messages > 300
    assert 15 <= nameless <= 70
    assert 15 <= odd <= 70
    assert unpaired == 0


def test_some_messages_hold_what_must_be_redacted(healthy: duckdb.DuckDBPyConnection) -> None:
    """Without them, nobody would notice that redaction is off."""
    keys = r"count(*) FILTER (regexp_matches(error_message, '\bsk-[0-9a-f]{32}'))"
    mails = r"count(*) FILTER (regexp_matches(error_message, '\w@example\.com'))"
    assert 20 < figure(healthy, keys) < 200
    assert 10 < figure(healthy, mails) < 200


def test_solutions_repeat(healthy: duckdb.DuckDBPyConnection) -> None:
    """A pattern is a solution that was used at least five times."""
    per_type = answers(
        healthy,
        "SELECT task_type, count(DISTINCT solution_summary) FROM executions GROUP BY ALL",
    )
    assert set(per_type.values()) == {30}
    assert figure(healthy, "count(solution_summary) FILTER (NOT success)") == 0
    given = figure(healthy, "count(solution_summary) / count(*) FILTER (success)")
    assert given == pytest.approx(0.85, abs=0.01)
    [(patterns,)] = healthy.execute("SELECT count(*) FROM solution_patterns_mv").fetchall()
    assert patterns > 500


def test_an_incident_breaks_one_tier_for_four_hours(incident: duckdb.DuckDBPyConnection) -> None:
    """It must show in the large tier at that time, and nowhere else."""
    rates = answers(
        incident,
        "SELECT model_tier = 'large' AND timestamp >= TIMESTAMP '2026-02-09 21:40:00'"
        " AND timestamp < TIMESTAMP '2026-02-10 01:40:00', avg(CAST(success AS INT))"
        " FROM executions GROUP BY ALL",
    )
    assert rates == {True: pytest.approx(0.5, abs=0.1), False: pytest.approx(0.92, abs=0.01)}
    [(failures, tiers, first, last)] = incident.execute(
        "SELECT count(*) FILTER (NOT success), count(*) FILTER (model_tier <> 'large'),"
        " min(timestamp), max(timestamp) FROM executions"
        " WHERE error_type = 'ProviderOverloadedError'"
    ).fetchall()
    assert failures > 40
    assert tiers == 0
    assert END - timedelta(hours=6) <= first < END - timedelta(hours=5)
    assert END - timedelta(hours=3) < last < END - timedelta(hours=2)


def test_a_drift_raises_the_cost_over_the_second_half(drift: duckdb.DuckDBPyConnection) -> None:
    """It is slow, so that only a comparison with the estimate finds it."""
    by_day = answers(
        drift,
        "SELECT date_sub('day', TIMESTAMP '2026-01-31 03:40:00', timestamp) AS day,"
        " sum(actual_cost) / sum(cost_estimate) FILTER (actual_cost IS NOT NULL)"
        " FROM executions GROUP BY ALL ORDER BY ALL",
    )
    expected = [1, 1, 1, 1, 1, 1.06, 1.18, 1.3, 1.42, 1.54]
    assert list(by_day.values()) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("threads", [1, 4])
def test_the_same_arguments_make_the_same_rows(
    tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the number of threads nor that of the portions may show."""
    expected = all_rows(made(tmp_path / "one.db", rows=3000, embeddings=False))
    monkeypatch.setattr(learning_db, "connect", partial(duck.connect, threads=threads))
    monkeypatch.setattr(sample, "PORTION", 700)
    assert all_rows(made(tmp_path / "other.db", rows=3000)) == expected


def test_another_seed_makes_other_rows(tmp_path: Path) -> None:
    """Not a single execution is shared, and so two samples can stand in one table."""
    one, other = (all_rows(made(tmp_path / f"{seed}.db", seed=seed)) for seed in (1, -(2**70)))
    assert {row[0] for row in one}.isdisjoint({row[0] for row in other})
    assert {row[1] for row in one}.isdisjoint({row[1] for row in other})


def test_every_supported_duckdb_makes_these_rows(tmp_path: Path) -> None:
    """A changed generator changes this number; a changed DuckDB must not."""
    con = made(tmp_path / "learning.db", rows=500, seed=7, embeddings=True)
    digest = "CAST(sum(hash(COLUMNS(*))) % 1000000007 AS BIGINT)"
    [columns] = con.execute(f"SELECT {digest} FROM executions").fetchall()
    assert sum(columns) == GOLDEN


def test_embeddings_have_their_384_numbers(tmp_path: Path) -> None:
    """They have about the length 1, as those of language models."""
    con = made(tmp_path / "learning.db", rows=50, embeddings=True)
    [(count, distinct, norm)] = con.execute(
        "SELECT count(embedding), count(DISTINCT embedding),"
        " avg(sqrt(array_inner_product(embedding, embedding))) FROM executions"
    ).fetchall()
    assert (count, distinct) == (50, 50)
    assert norm == pytest.approx(1, abs=0.02)


def test_progress_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten million rows take minutes."""
    monkeypatch.setattr(sample, "PORTION", 20)
    with caplog.at_level(logging.INFO):
        made(tmp_path / "learning.db", rows=50)
    assert [record.getMessage() for record in caplog.records] == [
        "generated 20 of 50 rows",
        "generated 40 of 50 rows",
        "generated 50 of 50 rows",
    ]


@pytest.mark.parametrize(("rows", "days"), [(0, 1), (-1, 1), (1, 0), (1, -1), (1, 36_526)])
def test_impossible_numbers_are_refused(tmp_path: Path, rows: int, days: int) -> None:
    """The first of them would leave an empty database, the last would weigh hours for ever."""
    with pytest.raises(ConfigError):
        made(tmp_path / "learning.db", rows=rows, days=days)
    assert list(tmp_path.iterdir()) == []
