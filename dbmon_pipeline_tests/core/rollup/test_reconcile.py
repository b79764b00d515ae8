"""Reconciliation can fail: a figure that went wrong on the way is named."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from dbmon_pipeline.core.changes.request import RefreshRequest
from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.reader import refresh as work
from dbmon_pipeline.core.rollup.chunks import Chunk
from dbmon_pipeline.core.rollup.read_rows import ROWS, ReadChunk, read_chunk
from dbmon_pipeline.core.rollup.reconcile import differences_from_ledger
from dbmon_pipeline.core.rollup.result import RolledUp
from dbmon_pipeline.core.rollup.roll_up import RollUp
from dbmon_pipeline.core.schema.columns import create_empty_tables
from dbmon_pipeline.core.schema.manifest import Difference
from dbmon_pipeline_tests.helpers import execution, make_source, settings_for

AS_OF = datetime(2026, 3, 10, 12)


def roll_up(settings: Settings) -> RolledUp:
    """Roll up a source with ten rows into a draft that nobody publishes."""
    rows = [execution(AS_OF - timedelta(hours=n), actual_cost=0.125) for n in range(1, 11)]
    make_source(settings.source, rows)
    draft = settings.source.with_name("draft")
    draft.mkdir()
    return work.roll_up_source(
        settings.source,
        settings.config,
        RefreshRequest(as_of=AS_OF),
        draft,
        None,
        lambda _: None,
    )


def test_what_is_right_has_no_differences(tmp_path: Path) -> None:
    """The control of the others."""
    done = roll_up(settings_for(tmp_path))
    assert (done.source_differences, done.ledger_differences) == ((), ())


def test_a_copy_that_differs_from_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost row and a wrong value, each with its hour and both figures."""

    def read_wrong(con: duckdb.DuckDBPyConnection, *arguments: object) -> ReadChunk:
        read = read_chunk(con, *arguments)  # type: ignore[arg-type]
        con.execute(f"DELETE FROM {ROWS} WHERE timestamp = $at", {"at": datetime(2026, 3, 10, 9)})
        con.execute(
            f"UPDATE {ROWS} SET duration_seconds = 13, success = false WHERE timestamp = $at",
            {"at": datetime(2026, 3, 10, 5)},
        )
        return read

    monkeypatch.setattr(work, "read_chunk", read_wrong)
    done = roll_up(settings_for(tmp_path))
    assert set(done.source_differences) == {
        Difference("executions of 2026-03-10 09:00", 1, 0),
        Difference("successes of 2026-03-10 09:00", 1, 0),
        Difference("duration_sum of 2026-03-10 09:00", 12.5, 0),
        Difference("actual_cost_sum of 2026-03-10 09:00", 0.125, 0),
        Difference("successes of 2026-03-10 05:00", 1, 0),
        Difference("duration_sum of 2026-03-10 05:00", 12.5, 13),
    }


@pytest.mark.parametrize(
    ("table", "statement", "figures"),
    [
        (
            "hourly_summary",
            "UPDATE hourly_summary SET executions = 3 WHERE hour = '2026-03-10 04:00'",
            {"executions of hourly_summary": (10, 12)},
        ),
        (
            "tier_performance",
            "DELETE FROM tier_performance",
            {
                "executions of tier_performance": (10, 0),
                "successes of tier_performance": (10, 0),
                "actual_cost_sum of tier_performance": (1.25, 0),
            },
        ),
        (
            "daily_distribution",
            "UPDATE daily_distribution SET n = n + 1",
            {"duration_count of daily_distribution": (10, 11)},
        ),
    ],
)
def test_a_table_that_differs_from_the_ledger(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
    statement: str,
    figures: dict[str, tuple[float, float]],
) -> None:
    """It is named, and no other one."""
    right = RollUp.roll_up

    def roll_up_wrong(self: RollUp, chunk: Chunk) -> None:
        right(self, chunk)
        self._con.execute(statement)

    monkeypatch.setattr(RollUp, "roll_up", roll_up_wrong)
    done = roll_up(settings_for(tmp_path))
    assert {d.figure: (d.expected, d.actual) for d in done.ledger_differences} == figures
    assert done.source_differences == ()
    assert all(figure.endswith(f" of {table}") for figure in figures)


DAYS = [date(2026, 3, day) for day in range(1, 5)]


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """Four days with three patterns each; the tables lack them, but for those of the last two."""
    with connect() as made:
        create_empty_tables(made)
        for day in DAYS:
            made.execute(
                "INSERT INTO hour_ledger (hour, executions, successes, patterns_count)"
                " VALUES ($day + INTERVAL 5 HOUR, 3, 1, 3)",
                {"day": day},
            )
        for table in ("hourly_summary", "hourly_totals", "pool_performance"):
            columns = "total_tasks, successful_tasks" if "pool" in table else "executions, successes"
            made.execute(f"INSERT INTO {table} (hour, {columns}) SELECT hour, 3, 1 FROM hour_ledger")
        for table in ("daily_summary", "tier_performance"):
            columns = (
                "total_executions, successful_count" if "tier" in table else "executions, successes"
            )
            made.execute(
                f"INSERT INTO {table} (date, {columns})"
                " SELECT CAST(hour AS DATE), 3, 1 FROM hour_ledger"
            )
        for day in DAYS[2:]:
            made.execute(
                "INSERT INTO daily_patterns (date, repo, pattern_key, usage_count)"
                " VALUES ($day, 'a', 1, 2), ($day, 'a', 2, 1)",
                {"day": day},
            )
        yield made


def lacking(expected: int, actual: int) -> list[Difference]:
    """The one difference of ``daily_patterns``."""
    return [Difference("patterns_count of daily_patterns", expected, actual)]


@pytest.mark.parametrize(
    ("days", "patterns_from", "expected"),
    [
        (DAYS, DAYS[2], []),
        (DAYS, DAYS[3], []),
        (DAYS[:2], DAYS[2], []),
        (DAYS, DAYS[1], lacking(9, 6)),
        (DAYS, date.min, lacking(12, 6)),
        ([DAYS[0], DAYS[3]], DAYS[0], lacking(6, 3)),
    ],
)
def test_patterns_are_compared_from_the_first_day_that_is_kept(
    con: duckdb.DuckDBPyConnection,
    days: list[date],
    patterns_from: date,
    expected: list[Difference],
) -> None:
    """Those of older days are dropped on purpose; the other tables are compared all the same."""
    assert differences_from_ledger(con, days, (), patterns_from) == expected


def test_days_that_keep_their_figures_or_lost_rows(con: duckdb.DuckDBPyConnection) -> None:
    """They are left out of tables with a row a day, or of those that lost something."""
    con.execute("BEGIN")
    try:
        con.execute("DELETE FROM tier_performance WHERE date = $day", {"day": DAYS[3]})
        con.execute("DELETE FROM hourly_summary WHERE hour::DATE = $day", {"day": DAYS[3]})
        tier = [
            Difference("executions of tier_performance", 12, 9),
            Difference("successes of tier_performance", 4, 3),
        ]
        hourly = [
            Difference("executions of hourly_summary", 12, 9),
            Difference("successes of hourly_summary", 4, 3),
        ]
        kept = DAYS[2]
        assert differences_from_ledger(con, DAYS, (), kept) == [*hourly, *tier]
        assert differences_from_ledger(con, DAYS, {DAYS[3]}, kept) == hourly
        lost = {"hourly_summary": {DAYS[3]}}
        assert differences_from_ledger(con, DAYS, (), kept, lost) == tier
        assert differences_from_ledger(con, DAYS, {DAYS[3]}, kept, lost) == []
    finally:
        con.execute("ROLLBACK")
