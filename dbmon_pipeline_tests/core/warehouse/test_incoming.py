"""Rows on their way in: stored batch by batch, while the next ones are copied."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.common.errors import SourceError
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.warehouse import incoming, slices
from dbmon_pipeline_tests.helpers import (
    Row,
    change_source,
    execution,
    make_odd_source,
    make_source,
    refresh_core,
    settings_for,
)

START = datetime(2026, 3, 1)
NOW = datetime(2026, 3, 3)


@pytest.fixture(autouse=True)
def tiny_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice is an hour or a few, a batch two or three rows."""
    monkeypatch.setattr(slices, "_SMALLEST_SLICE_ROWS", 1)
    monkeypatch.setattr(incoming, "_STORE_ROWS", 2)


def stored(settings: Settings) -> dict[str, tuple[datetime, float | None, str | None]]:
    """What the warehouse has of each execution."""
    with connect(settings.home.warehouse) as con:
        rows = con.execute(
            "SELECT task_id, timestamp, duration_seconds, error_message FROM executions"
        ).fetchall()
    assert len({row[0] for row in rows}) == len(rows)
    return {row[0]: tuple(row[1:]) for row in rows}


def test_every_batch_is_stored_once_and_clean(tmp_path: Path) -> None:
    """Secrets and values that are not finite are found in whichever batch they are."""
    rows: list[Row] = [
        execution(
            START + timedelta(hours=number, minutes=copy),
            duration_seconds=float("inf") if number % 7 == 3 else number + copy / 4,
            error_message=f"token ghp_{number:036d} refused" if number % 5 == 0 else "refused",
        )
        for number in range(40)
        for copy in range(1 + number % 2)
    ]
    settings = settings_for(tmp_path)
    make_source(settings.source, rows)
    [extraction] = refresh_core(settings, NOW).extractions
    expected = {
        str(row["task_id"]): (
            row["timestamp"],
            None if row["duration_seconds"] == float("inf") else row["duration_seconds"],
            "refused" if row["error_message"] == "refused" else "token [redacted token] refused",
        )
        for row in rows
    }
    assert stored(settings) == expected
    assert extraction.rows == len(rows) == 60
    with connect(settings.home.warehouse) as con:
        ledger = con.execute("SELECT hour, executions, not_finite FROM hour_ledger ORDER BY 1")
        assert ledger.fetchall() == [
            (START + timedelta(hours=n), 1 + n % 2, (1 + n % 2) * (n % 7 == 3)) for n in range(40)
        ]
    change_source(settings.source, "UPDATE executions SET error_message = 'late'")
    refresh_core(settings, NOW)
    assert {message for _, _, message in stored(settings).values()} == {"late"}


@pytest.mark.parametrize("at", [0, 20, 39])
def test_a_batch_that_cannot_be_stored_fails_the_extraction(tmp_path: Path, at: int) -> None:
    """Whether others are copied meanwhile or not, and nothing takes effect."""
    settings = settings_for(tmp_path)
    rows = [
        execution(START + timedelta(hours=n), cpu_time_seconds="many" if n == at else "1.5")
        for n in range(40)
    ]
    make_odd_source(settings.source, rows, cpu_time_seconds="VARCHAR")
    with pytest.raises(SourceError, match="holds a value that cannot be read"):
        refresh_core(settings, NOW)
    assert stored(settings) == {}
    change_source(settings.source, "UPDATE executions SET cpu_time_seconds = '2'")
    refresh_core(settings, NOW)
    assert len(stored(settings)) == 40
