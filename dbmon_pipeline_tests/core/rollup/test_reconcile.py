"""Reconciliation can fail: a figure that went wrong on the way is named."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dbmon_pipeline.core.changes.request import RefreshRequest
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.reader import refresh as work
from dbmon_pipeline.core.rollup import read_ahead
from dbmon_pipeline.core.rollup.chunks import Chunk
from dbmon_pipeline.core.rollup.read_rows import INCOMING, ReadChunk, read_chunk
from dbmon_pipeline.core.rollup.result import RolledUp
from dbmon_pipeline.core.rollup.roll_up import RollUp
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

    def read_wrong(con: duckdb.DuckDBPyConnection, *given: Any, **limits: Any) -> ReadChunk:
        read = read_chunk(con, *given, **limits)
        con.execute(
            f"DELETE FROM {INCOMING} WHERE timestamp = $at", {"at": datetime(2026, 3, 10, 9)}
        )
        con.execute(
            f"UPDATE {INCOMING} SET duration_seconds = 13, success = false WHERE timestamp = $at",
            {"at": datetime(2026, 3, 10, 5)},
        )
        return read

    monkeypatch.setattr(read_ahead, "read_chunk", read_wrong)
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
