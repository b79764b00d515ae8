"""Periods: how files are cut while days, months and years end, and which files are written."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from dbmon_pipeline.core.changes import find
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.schema.catalogue import HOUR_LEDGER, ROLLED_UP
from dbmon_pipeline_tests.helpers import (
    Refreshed,
    Row,
    add_rows,
    change_source,
    execution,
    make_source,
    settings_for,
)
from dbmon_pipeline_tests.histories import inodes, refresh_here
from dbmon_pipeline_tests.oracle import expected_tables
from dbmon_pipeline_tests.truth import assert_published, rows_of

DAY = timedelta(days=1)
RECENT = "recent_executions"
DATED = [table for table in (HOUR_LEDGER, *ROLLED_UP) if table.window is None]


def full_row(moment: datetime) -> Row:
    """An execution that every table has something of."""
    return execution(
        moment,
        error_type="Timeout",
        error_message="late",
        complexity_score=5,
        solution_summary="retry",
        peak_memory_mb=2.0,
    )


def files_of(settings: Settings, table: str) -> dict[str, int]:
    """The inode of each file of a table, by its period."""
    return {
        name.split("/")[1].removesuffix(".parquet"): inode
        for name, inode in inodes(settings).items()
        if name.startswith(f"{table}/")
    }


def expected_periods(days: Collection[date], as_of: date, small_years: Collection[int]) -> set[str]:
    """Name the files that days must lie in."""
    periods = set()
    for day in days:
        if day >= as_of.replace(day=1):
            periods.add(f"{day:%Y-%m-%d}")
        elif day.year < as_of.year and day.year in small_years:
            periods.add(f"{day:%Y}")
        else:
            periods.add(f"{day:%Y-%m}")
    return periods


def days_of_tables(settings: Settings, as_of: datetime) -> dict[str, set[date]]:
    """The days of which each table must have rows, by brute force."""
    tables = expected_tables(rows_of(settings.source), as_of)
    return {
        table.name: {
            row["date"] if table.time_column == "date" else row["hour"].date()
            for row in tables[table.name]
        }
        for table in DATED
    }


def refresh(
    settings: Settings,
    as_of: datetime,
    touched: set[str],
    small_years: Collection[int] = (2023, 2024, 2025),
) -> Refreshed:
    """Refresh, and check every table's rows, its files, and which of them were written.

    Args:
        settings: The source and the home.
        as_of: The instant.
        touched: The periods to be written; the files of all others must be the very same.
        small_years: The closed years that have few rows.
    """
    before = inodes(settings)
    files = {table.name: files_of(settings, table.name) for table in DATED}
    done = refresh_here(settings, as_of)
    assert_published(settings.home, rows_of(settings.source), as_of)
    for table, days in days_of_tables(settings, as_of).items():
        now = files_of(settings, table)
        assert now.keys() == expected_periods(days, as_of.date(), small_years), table
        written = {period for period, inode in now.items() if files[table].get(period) != inode}
        if table != "daily_patterns":  # of which a file goes on losing rows that are too old
            assert written == touched & now.keys(), table
    assert files_of(settings, "solution_patterns").keys() == {"window"}
    after = inodes(settings)
    linked = [name for name, inode in after.items() if before.get(name) == inode]
    assert done.publication.files_linked == len(linked)
    assert done.publication.files_written == len(after) - len(linked)
    return done


def test_months_and_years_that_close(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Days become a month, months a year with few rows; nothing is read again for it."""
    settings = settings_for(tmp_path, rules={}, history_start=date(2023, 1, 1))
    of_months = [(2023, 11), (2024, 2), (2024, 12), (2025, 2), (2025, 11), (2025, 12)]
    moments = [datetime(*month, day, 5) for month in of_months for day in (1, 25, 26)]
    make_source(settings.source, [full_row(moment) for moment in moments])

    as_of = datetime(2025, 12, 26, 12)
    days = {f"2025-12-{day:02}" for day in (1, 25, 26)}
    refresh(settings, as_of, {"2023", "2024", "2025-02", "2025-11", *days})

    done = refresh(settings, datetime(2026, 1, 1, 0, 5), {"2025"})
    assert done.rolled_up.changes.rows_read == 0
    new = [datetime(2026, 1, 30, 3), datetime(2026, 1, 31, 3)]
    add_rows(settings.source, [full_row(moment) for moment in new])
    refresh(settings, datetime(2026, 1, 31, 12), {"2026-01-30", "2026-01-31"})
    add_rows(settings.source, [full_row(datetime(2026, 1, 31, 23, 59))])
    refresh(settings, datetime(2026, 2, 1), {"2026-01"})

    late = [datetime(2024, 2, 29, 1), datetime(2024, 12, 1, 1), datetime(2026, 1, 7)]
    add_rows(settings.source, [full_row(moment) for moment in late])
    as_of = datetime(2026, 2, 1, 1)
    done = refresh(settings, as_of, {"2024", "2026-01"})
    assert done.rolled_up.changes.days == tuple(moment.date() for moment in late)

    monkeypatch.setattr(find, "_SMALL_YEAR", 5)
    months = {f"{year}-{month:02}" for year, month in of_months[1:]}
    done = refresh(settings, as_of, months, small_years=(2023,))
    assert done.rolled_up.changes.rows_read == 0
    monkeypatch.undo()
    refresh(settings, as_of, {"2024", "2025"})


def test_days_that_empty_lose_their_files(tmp_path: Path) -> None:
    """Of the open month and of a closed one; no empty file is left, unless a table has nothing."""
    settings = settings_for(tmp_path, rules={})
    moments = [datetime(2026, month, day, 9) for month in (2, 3) for day in (1, 2, 3)]
    moments.append(datetime(2026, 1, 31, 9))  # else February would look pruned
    make_source(settings.source, [full_row(moment) for moment in moments])
    as_of = datetime(2026, 3, 3, 12)
    refresh(settings, as_of, {"2026-01", "2026-02", "2026-03-01", "2026-03-02", "2026-03-03"})
    change_source(
        settings.source,
        "DELETE FROM executions WHERE month(timestamp) = 2 OR timestamp BETWEEN $start AND $end",
        start=datetime(2026, 3, 2),
        end=datetime(2026, 3, 3),
    )
    refresh(settings, as_of, set())
    assert files_of(settings, RECENT).keys() == {"2026-03-01", "2026-03-03"}
    change_source(settings.source, "UPDATE executions SET error_type = NULL")
    refresh_here(settings, as_of, full=True)
    assert files_of(settings, "error_summary").keys() == {"empty"}
    assert_published(settings.home, rows_of(settings.source), as_of)


NOON = datetime(2026, 5, 20, 12, 30)
MANY = 20_000


def assert_recent(settings: Settings, since: datetime) -> None:
    """Check that the published recent executions are those of the source, to the row."""
    files = f"read_parquet('{settings.home.current}/{RECENT}/*.parquet')"
    columns = "CAST(task_id AS VARCHAR), timestamp, duration_seconds, actual_cost"
    with duckdb.connect(str(settings.source), read_only=True) as con:
        for one, other in (("published", "source"), ("source", "published")):
            found = con.execute(
                f"WITH published AS (SELECT {columns} FROM {files}), source AS ("
                f" SELECT {columns} FROM executions WHERE timestamp >= $since)"
                f" FROM {one} EXCEPT ALL FROM {other}",
                {"since": since},
            ).fetchall()
            assert found == [], one


def test_recent_executions_over_a_midnight(tmp_path: Path) -> None:
    """Today is one file below 20,000 rows, then one an hour; a day that has ended is one again."""
    settings = settings_for(tmp_path, rules={})
    make_source(settings.source, [execution(NOON - days * DAY) for days in (1, 2, 3)])
    change_source(
        settings.source,
        "INSERT INTO executions (task_id, timestamp, success, duration_seconds) SELECT"
        " uuid(), $end - n * INTERVAL 2100 MILLISECOND, true, n FROM range(1, $rows) AS s (n)",
        end=NOON,
        rows=MANY,
    )
    today, two_days_ago = "2026-05-20", datetime(2026, 5, 18)
    before = {"2026-05-18", "2026-05-19"}
    hours = {f"{today}T{hour:02}" for hour in range(13)}

    refresh_here(settings, NOON)
    assert files_of(settings, RECENT).keys() == {today, *before}

    def go_on(minute: int, *moments: datetime) -> set[str]:
        known, everything = files_of(settings, RECENT), inodes(settings)
        add_rows(settings.source, [execution(moment) for moment in moments])
        refresh_here(settings, NOON + timedelta(minutes=minute))
        changed = [n for n, inode in inodes(settings).items() if everything.get(n) != inode]
        others = [name.split("/")[0] for name in changed if not name.startswith(RECENT)]
        assert len(others) == len(set(others)), "a table has more than one file written"
        files = files_of(settings, RECENT)
        assert all(files[period] == known[period] for period in before & files.keys())
        return {period for period, inode in files.items() if known.get(period) != inode}

    assert go_on(5, NOON + timedelta(minutes=4)) == hours
    assert files_of(settings, RECENT).keys() == before | hours
    late = NOON.replace(hour=3)
    assert go_on(10, late, NOON + timedelta(minutes=9)) == {f"{today}T03", f"{today}T12"}
    assert files_of(settings, RECENT).keys() == before | hours
    assert_recent(settings, two_days_ago)

    midnight = 11 * 60 + 30
    assert go_on(midnight + 5) == {today}
    assert files_of(settings, RECENT).keys() == {"2026-05-19", today}
    assert go_on(midnight + 15, NOON + timedelta(minutes=midnight + 9)) == {"2026-05-21"}
    assert files_of(settings, RECENT).keys() == {"2026-05-19", today, "2026-05-21"}
    assert_recent(settings, two_days_ago + DAY)
