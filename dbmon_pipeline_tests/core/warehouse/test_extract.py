"""Extraction: what is read again, what is left alone, and what it says of itself."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.common.errors import RefreshError
from dbmon_pipeline.core.config.monitoring import Keep
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.warehouse import extract as extraction_module
from dbmon_pipeline.core.warehouse.changes import ChangedHour, changed_hours
from dbmon_pipeline.core.warehouse.plan import Scope
from dbmon_pipeline_tests.helpers import (
    add_rows,
    change_source,
    execution,
    make_source,
    published_rows,
    refresh_core,
    settings_for,
)

NOW = datetime(2026, 5, 20, 12, 30)
DAYS = 20


@pytest.fixture
def site(tmp_path: Path) -> Settings:
    """A source with an execution every two hours over twenty days, refreshed once."""
    settings = settings_for(tmp_path)
    every_two_hours = (NOW - timedelta(hours=n) for n in range(1, DAYS * 24, 2))
    make_source(settings.source, [execution(moment) for moment in every_two_hours])
    refresh_core(settings, NOW)
    return settings


def total(settings: Settings) -> int:
    """How many executions the hourly and the daily summary count, which must agree."""
    hourly, daily = (
        sum(int(str(row["executions"])) for row in published_rows(settings, table))
        for table in ("hourly_summary", "daily_summary")
    )
    assert hourly == daily
    return hourly


def files(settings: Settings) -> dict[str, int]:
    """The inode of every published file: a file that was carried over keeps its own."""
    current = settings.home.current.resolve()
    return {
        str(path.relative_to(current)): path.stat().st_ino for path in current.rglob("*.parquet")
    }


def test_one_late_row_touches_one_hour_one_day_and_its_files(site: Settings) -> None:
    """Ten days back, with --full: that hour is read, that day is rolled up, the rest stays."""
    before = files(site)
    late = NOW - timedelta(days=10)
    add_rows(site.source, [execution(late, repo="late/one", actual_cost=7.0)])
    done = refresh_core(site, NOW, Scope.FULL)
    (extraction,) = done.extractions
    assert extraction.hours == (late.replace(minute=0),)
    assert extraction.days == (late.date(),)
    assert extraction.late_rows == 1
    assert extraction.hours_left == 0
    assert extraction.data_through == NOW
    assert {name: table.days for name, table in done.rolled_up.items()} == {
        "hourly_summary": 1,
        "hourly_totals": 1,
        "daily_summary": 1,
        "hourly_distribution": 1,
        "daily_distribution": 1,
        "tier_performance": 1,
        "pool_performance": 1,
        "error_summary": 1,
        "daily_error_summary": 1,
        "hourly_complexity": 1,
        "daily_complexity": 1,
        "solution_patterns": 0,
        "recent_executions": 0,
    }
    after = files(site)
    assert after.keys() == before.keys()
    changed = {name for name in after if after[name] != before[name]}
    file = f"{late.date()}.parquet"
    assert changed == {
        *(f"{table}/{file}" for table in ("hourly_summary", "hourly_totals", "daily_summary")),
        *(f"{table}/{file}" for table in ("hourly_distribution", "daily_distribution")),
        *(f"{table}/{file}" for table in ("tier_performance", "pool_performance")),
        *("error_summary/empty.parquet", "daily_error_summary/empty.parquet"),
        *("hourly_complexity/empty.parquet", "daily_complexity/empty.parquet"),
        *("solution_patterns/window.parquet", "recent_executions/window.parquet"),
        *(f"{history}_history/{NOW.date()}.parquet" for history in ("refresh", "check")),
    }
    (row,) = [row for row in published_rows(site, "hourly_summary") if row["repo"] == "late/one"]
    assert (row["hour"], row["executions"], row["actual_cost_sum"]) == (
        late.replace(minute=0),
        1,
        7.0,
    )


def test_a_late_row_out_of_sight_waits_for_a_wider_scope(site: Settings) -> None:
    """A usual refresh looks back 48 hours; the daily one sees all kept days."""
    rows = total(site)
    add_rows(site.source, [execution(NOW - timedelta(days=10))])
    refresh_core(site, NOW, Scope.RECENT)
    assert total(site) == rows
    refresh_core(site, NOW, Scope.KEPT)
    assert total(site) == rows + 1


def test_after_downtime_the_gap_is_read_whatever_its_length(site: Settings) -> None:
    """The look back begins where the source was last read, not 48 hours ago."""
    rows = total(site)
    later = NOW + timedelta(days=5)
    moments = [NOW + timedelta(hours=n) for n in range(5 * 24)]
    add_rows(site.source, [execution(moment) for moment in moments])
    done = refresh_core(site, later)
    assert total(site) == rows + len(moments)
    assert [extraction.data_through for extraction in done.extractions] == [later]


def test_feedback_hours_later_is_noticed(site: Settings) -> None:
    """A changed row is a changed hour, though the number of rows is the same."""
    change_source(
        site.source,
        "UPDATE executions SET user_accepted = true, user_rating = 5 WHERE timestamp = $at",
        at=NOW - timedelta(hours=31),
    )
    refresh_core(site, NOW)
    rated = [row for row in published_rows(site, "hourly_summary") if row["feedback_count"]]
    assert [(row["hour"], row["accepted_count"], row["rating_sum"]) for row in rated] == [
        (datetime(2026, 5, 19, 5), 1, 5)
    ]


def test_rows_at_or_after_as_of_wait(site: Settings) -> None:
    """They are counted, not extracted, and come in when their time has come."""
    rows = total(site)
    add_rows(site.source, [execution(NOW), execution(NOW + timedelta(minutes=6))])
    (extraction,) = refresh_core(site, NOW).extractions
    assert (extraction.overview.future_rows, extraction.overview.far_future_rows) == (2, 1)
    assert total(site) == rows
    refresh_core(site, NOW + timedelta(minutes=7))
    assert total(site) == rows + 2


def test_time_does_not_go_back(site: Settings) -> None:
    """An instant before the one that was read would have to forget rows."""
    with pytest.raises(RefreshError, match=r"12:29:00Z lies before 2026-05-20T12:30"):
        refresh_core(site, NOW - timedelta(minutes=1))


def test_rows_before_the_history_are_counted(tmp_path: Path) -> None:
    """Not monitored, and not lost silently."""
    settings = settings_for(tmp_path, history_start=date(2026, 5, 1))
    moments = [datetime(2026, 4, 30, 23, 59), datetime(2026, 5, 1)]
    make_source(settings.source, [execution(m) for m in moments] + [_without_time()])
    (extraction,) = refresh_core(settings, NOW).extractions
    assert total(settings) == 1
    assert extraction.overview.too_old_rows == 1
    assert extraction.overview.rows_without_timestamp == 1


def test_raw_rows_leave_and_summaries_stay(tmp_path: Path) -> None:
    """Beyond the kept window a late change is repaired by reading its whole day again."""
    settings = settings_for(tmp_path, keep=Keep(executions_days=5))
    moments = [NOW - timedelta(hours=n) for n in range(1, DAYS * 24)]
    make_source(settings.source, [execution(moment) for moment in moments])
    refresh_core(settings, NOW)
    assert raw_days(settings) == {date(2026, 5, day) for day in range(15, 21)}
    assert total(settings) == len(moments)
    add_rows(settings.source, [execution(datetime(2026, 5, 8, 7, 1))])
    change_source(
        settings.source,
        "DELETE FROM executions WHERE timestamp = $at",
        at=datetime(2026, 5, 6, 12, 30),
    )
    done = refresh_core(settings, NOW, Scope.FULL)
    assert [extraction.days for extraction in done.extractions] == [
        (date(2026, 5, 6),),
        (date(2026, 5, 8),),
    ]
    assert total(settings) == len(moments)
    by_day = {row["date"]: row["executions"] for row in published_rows(settings, "daily_summary")}
    assert (by_day[date(2026, 5, 6)], by_day[date(2026, 5, 8)]) == (23, 25)
    assert raw_days(settings) == {date(2026, 5, day) for day in range(15, 21)}


@pytest.mark.parametrize("kept_days", [3, 90])
@pytest.mark.parametrize("scope", list(Scope))
def test_pruned_in_the_middle_of_an_hour(tmp_path: Path, scope: Scope, kept_days: int) -> None:
    """To the row: what the owner removed by age stays, whatever is looked at next."""
    settings = settings_for(tmp_path, keep=Keep(executions_days=kept_days))
    moments = [NOW - timedelta(minutes=20 * n) for n in range(1, 10 * 24 * 3)]
    make_source(settings.source, [execution(moment) for moment in moments])
    refresh_core(settings, NOW)
    for limit in (datetime(2026, 5, 14, 3, 25), datetime(2026, 5, 14, 9, 0), NOW):
        change_source(settings.source, "DELETE FROM executions WHERE timestamp < $t", t=limit)
        refresh_core(settings, NOW, scope)
        assert total(settings) == len(moments)
    late = NOW + timedelta(minutes=1)
    add_rows(settings.source, [execution(late)])
    refresh_core(settings, late + timedelta(minutes=1), scope)
    assert total(settings) == len(moments) + 1


def test_a_half_pruned_old_day_is_left_as_it_is(tmp_path: Path) -> None:
    """Its raw rows are gone on both sides: what we have is better than what could be read."""
    settings = settings_for(tmp_path, keep=Keep(executions_days=3))
    moments = [NOW - timedelta(hours=n) for n in range(1, 10 * 24)]
    make_source(settings.source, [execution(moment) for moment in moments])
    refresh_core(settings, NOW)
    change_source(
        settings.source,
        "DELETE FROM executions WHERE timestamp < $t",
        t=datetime(2026, 5, 13, 12),
    )
    add_rows(settings.source, [execution(datetime(2026, 5, 13, 18, 1))])
    (extraction, *_) = refresh_core(settings, NOW, Scope.FULL).extractions
    assert extraction.unrepairable_hours > 0
    assert total(settings) == len(moments)


def test_a_restored_backup_is_not_counted_twice(tmp_path: Path) -> None:
    """Rows that were pruned and are there again are the same rows."""
    settings = settings_for(tmp_path)
    rows = [execution(NOW - timedelta(hours=n)) for n in range(1, 5 * 24)]
    make_source(settings.source, rows)
    refresh_core(settings, NOW)
    change_source(
        settings.source, "DELETE FROM executions WHERE timestamp < $t", t=NOW - timedelta(days=2)
    )
    refresh_core(settings, NOW, Scope.FULL)
    add_rows(settings.source, rows[48:])
    refresh_core(settings, NOW, Scope.FULL)
    assert total(settings) == len(rows)
    with connect(settings.home.warehouse) as con:
        assert con.execute("SELECT count(*) FROM executions WHERE pruned").fetchall() == [(0,)]


def test_the_oldest_row_moves_away_and_back(tmp_path: Path) -> None:
    """What looked like pruning was not: the same execution is there, at another time."""
    settings = settings_for(tmp_path, keep=Keep(executions_days=3))
    old, new = datetime(2026, 5, 17, 0, 30), datetime(2026, 5, 20, 9)
    make_source(settings.source, [execution(old)])
    refresh_core(settings, NOW)
    for moved, now in ((new, NOW), (old + timedelta(hours=8), NOW + timedelta(days=1))):
        change_source(settings.source, "UPDATE executions SET timestamp = $to", to=moved)
        refresh_core(settings, now, Scope.FULL)
        hours = [row["hour"] for row in published_rows(settings, "hourly_summary")]
        assert hours == [moved.replace(minute=0)]


def test_an_emptied_source_keeps_its_history(site: Settings) -> None:
    """Nothing left at all is pruning too; what comes next is added."""
    rows = total(site)
    change_source(site.source, "DELETE FROM executions")
    refresh_core(site, NOW, Scope.FULL)
    assert total(site) == rows
    add_rows(site.source, [execution(NOW + timedelta(minutes=1))])
    refresh_core(site, NOW + timedelta(hours=1))
    assert total(site) == rows + 1


def raw_days(settings: Settings) -> set[date]:
    """The days of which the warehouse holds raw rows."""
    with connect(settings.home.warehouse) as con:
        rows = con.execute("SELECT DISTINCT CAST(timestamp AS DATE) FROM executions").fetchall()
    return {day for (day,) in rows}


def _without_time() -> dict[str, object]:
    return execution(NOW) | {"timestamp": None}


def test_a_sparse_history_is_first_read_in_few_holds(tmp_path: Path) -> None:
    """Hours without executions do not cut a slice."""
    settings = settings_for(tmp_path)
    make_source(settings.source, [execution(NOW - n * timedelta(hours=53)) for n in range(1, 150)])
    (extraction,) = refresh_core(settings, NOW).extractions
    assert extraction.rows == 149
    assert len(extraction.hours) == 149
    assert len(extraction.holds_ms) < 60
    assert total(settings) == 149


def test_a_row_that_comes_into_a_gap_during_the_first_read_is_rolled_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is copied with the hours around it, though it was not there when they were compared."""
    settings = settings_for(tmp_path)
    gap = NOW - timedelta(days=3)
    around = [NOW - timedelta(days=days) for days in (2, 4)]
    make_source(settings.source, [execution(moment) for moment in (gap, *around)])

    def compared_before_it_came(*arguments: Any) -> list[ChangedHour]:
        return [hour for hour in changed_hours(*arguments) if hour.hour.date() != gap.date()]

    monkeypatch.setattr(extraction_module, "changed_hours", compared_before_it_came)
    (extraction,) = refresh_core(settings, NOW).extractions
    assert gap.date() in extraction.days
    monkeypatch.undo()
    assert total(settings) == 3
    refresh_core(settings, NOW, Scope.FULL)
    assert total(settings) == 3
