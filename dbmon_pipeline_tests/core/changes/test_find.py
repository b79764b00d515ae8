"""Finding what changed: late, changed and deleted rows, near and far, by reading little."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from dbmon_pipeline.core.changes import find
from dbmon_pipeline.core.common.errors import RefreshError
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline_tests.helpers import (
    Snapshot,
    add_rows,
    change_source,
    execution,
    make_odd_source,
    make_source,
    published_rows,
    settings_for,
)
from dbmon_pipeline_tests.histories import inodes, refresh_here

NOW = datetime(2026, 5, 20, 12, 30)
DAYS = 20
DAY = timedelta(days=1)


def every_two_hours(settings: Settings) -> Settings:
    """Make a source with an execution every two hours over twenty days, and refresh from it."""
    moments = (NOW - timedelta(hours=n) for n in range(1, DAYS * 24, 2))
    make_source(settings.source, [execution(moment) for moment in moments])
    refresh_here(settings, NOW)
    return settings


@pytest.fixture(scope="module")
def refreshed_once(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """A source and its home after one refresh."""
    settings = settings_for(tmp_path_factory.mktemp("refreshed"), rules={})
    return Snapshot(every_two_hours(settings))


@pytest.fixture
def site(refreshed_once: Snapshot) -> Settings:
    """A source that was refreshed once."""
    return refreshed_once.restore()


def total(settings: Settings) -> int:
    """Count the executions of the hourly and the daily summary, which must agree."""
    hourly, daily = (
        sum(int(str(row["executions"])) for row in published_rows(settings, table))
        for table in ("hourly_summary", "daily_summary")
    )
    assert hourly == daily
    return hourly


def test_one_late_row_costs_one_day(site: Settings) -> None:
    """Ten days back: it is found by the number of rows, and only files of its day are written."""
    before = inodes(site)
    late = NOW - 10 * DAY
    add_rows(site.source, [execution(late, repo="late/one", actual_cost=7.0)])
    done = refresh_here(site, NOW).rolled_up
    assert done.changes.days == (late.date(),)
    assert done.changes.hours_changed == 1
    assert done.changes.late_rows == 1
    assert done.changes.rows_read == 13
    after = inodes(site)
    assert after.keys() == before.keys()
    changed = {name for name in after if after[name] != before[name]}
    file = f"{late.date()}.parquet"
    assert {name for name in changed if not name.endswith("/empty.parquet")} == {
        *(f"{table}/{file}" for table in ("hour_ledger", "hourly_summary", "hourly_totals")),
        *(f"{table}/{file}" for table in ("daily_summary", "hourly_distribution")),
        *(f"{table}/{file}" for table in ("daily_distribution", "tier_performance")),
        f"pool_performance/{file}",
        "solution_patterns/window.parquet",
        *(f"{history}_history/{NOW.date()}.parquet" for history in ("refresh",)),
    }
    (row,) = [row for row in published_rows(site, "hourly_summary") if row["repo"] == "late/one"]
    assert (row["hour"], row["executions"], row["actual_cost_sum"]) == (
        late.replace(minute=0),
        1,
        7.0,
    )


@pytest.mark.parametrize("wider", [{"compare_days": 12}, {"full": True}])
def test_a_change_out_of_sight_waits_for_a_wider_look(
    site: Settings, wider: dict[str, object]
) -> None:
    """The number of rows is the same, and a usual refresh fingerprints 48 hours."""
    at = NOW - 10 * DAY - timedelta(hours=1)
    change_source(site.source, "UPDATE executions SET actual_cost = 7 WHERE timestamp = $at", at=at)

    def costs() -> list[object]:
        return [
            row["actual_cost_sum"]
            for row in published_rows(site, "hourly_summary")
            if row["hour"] == at.replace(minute=0)
        ]

    assert refresh_here(site, NOW).rolled_up.changes.hours_changed == 0
    assert refresh_here(site, NOW, compare_days=9).rolled_up.changes.hours_changed == 0
    assert costs() != [7.0]
    assert refresh_here(site, NOW, **wider).rolled_up.changes.hours_changed == 1
    assert costs() == [7.0]


def test_history_that_appears_later_is_found_however_old(site: Settings) -> None:
    """The next ordinary refresh reads it."""
    rows = total(site)
    old = [datetime(2023, 5, 1, 3), datetime(2024, 2, 29, 23, 59, 59)]
    add_rows(site.source, [execution(moment) for moment in old])
    done = refresh_here(site, NOW).rolled_up
    assert done.changes.days == tuple(moment.date() for moment in old)
    assert total(site) == rows + 2


def test_after_downtime_the_gap_is_read_whatever_its_length(site: Settings) -> None:
    """The look back begins where the source was last read, not 48 hours ago."""
    change_source(
        site.source,
        "UPDATE executions SET actual_cost = 7 WHERE timestamp = $at",
        at=NOW - timedelta(hours=47),
    )
    rows, later = total(site), NOW + 5 * DAY
    add_rows(site.source, [execution(NOW + timedelta(hours=n)) for n in range(5 * 24)])
    refresh_here(site, later)
    assert total(site) == rows + 5 * 24
    assert [r["actual_cost_sum"] for r in published_rows(site, "hourly_summary")].count(7.0) == 1


def test_days_that_are_asked_for_are_read(site: Settings) -> None:
    """Whether or not they differ; up to today if no end is given."""
    done = refresh_here(site, NOW, since=date(2026, 5, 3), until=date(2026, 5, 4)).rolled_up
    assert done.changes.days == (date(2026, 5, 3), date(2026, 5, 4))
    assert (done.changes.rows_read, done.changes.hours_changed) == (24, 0)
    done = refresh_here(site, NOW, since=date(2026, 5, 18)).rolled_up
    assert done.changes.days == tuple(date(2026, 5, day) for day in (18, 19, 20))


def test_rows_at_or_after_as_of_wait(site: Settings) -> None:
    """They are counted, and come in when their time has come."""
    rows = total(site)
    add_rows(site.source, [execution(NOW), execution(NOW + timedelta(minutes=6))])
    profile = refresh_here(site, NOW).rolled_up.profile
    assert (profile.future_rows, profile.far_future_rows) == (2, 1)
    assert total(site) == rows
    done = refresh_here(site, NOW + timedelta(minutes=7)).rolled_up
    assert total(site) == rows + 2
    assert done.changes.late_rows == 0


def test_late_rows_of_the_hour_that_was_read_in_part(site: Settings) -> None:
    """Only those before the instant up to which it had been read are late."""
    moments = [NOW - timedelta(minutes=20), NOW, NOW + timedelta(minutes=5)]
    add_rows(site.source, [execution(moment) for moment in moments])
    done = refresh_here(site, NOW + timedelta(minutes=20)).rolled_up
    assert done.changes.late_rows == 1


def test_time_does_not_go_back(site: Settings) -> None:
    """An instant before the published one would have to forget rows."""
    with pytest.raises(RefreshError, match=r"12:29:00Z lies before 2026-05-20T12:30"):
        refresh_here(site, NOW - timedelta(minutes=1))


def test_rows_before_the_history_are_counted(tmp_path: Path) -> None:
    """Not monitored, and not lost silently."""
    settings = settings_for(tmp_path, history_start=date(2026, 5, 1), rules={})
    moments = [datetime(2026, 4, 30, 23, 59), datetime(2026, 5, 1), None]
    make_source(settings.source, [{**execution(NOW), "timestamp": m} for m in moments])
    profile = refresh_here(settings, NOW).rolled_up.profile
    assert total(settings) == 1
    assert (profile.too_old_rows, profile.rows_without_timestamp, profile.rows) == (1, 1, 1)


def test_a_newer_fingerprint_reads_nothing_again(
    site: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hours are compared by their numbers and sums, and what changed is found all the same."""
    before = {t: published_rows(site, t) for t in ("hourly_summary", "tier_performance")}
    monkeypatch.setattr(find, "fingerprint_version", lambda _: "another")
    done = refresh_here(site, NOW).rolled_up
    assert (done.changes.rows_read, done.changes.hours_changed) == (0, 0)
    assert {t: published_rows(site, t) for t in before} == before
    monkeypatch.setattr(find, "fingerprint_version", lambda _: "one more")
    change_source(
        site.source,
        "UPDATE executions SET duration_seconds = 99 WHERE timestamp = $at",
        at=NOW - timedelta(hours=15 * 24 + 1),
    )
    done = refresh_here(site, NOW).rolled_up
    assert (done.changes.rows_read, done.changes.hours_changed) == (12, 1)
    assert done.made_with.fingerprint == "one more"
    assert refresh_here(site, NOW).rolled_up.changes.hours_changed == 0


def test_another_type_of_a_column_reads_nothing_again(tmp_path: Path) -> None:
    """Its values are the same; the hashes of the rows are not."""
    site = settings_for(tmp_path, rules={})
    make_odd_source(site.source, [execution(NOW - timedelta(hours=9 * n)) for n in range(1, 20)])
    refresh_here(site, NOW)
    ledger = {row["hour"]: row["fingerprint"] for row in published_rows(site, "hour_ledger")}
    change_source(site.source, "ALTER TABLE executions ALTER quality_score TYPE BIGINT")
    change_source(site.source, "ALTER TABLE executions ALTER duration_seconds TYPE DOUBLE")
    done = refresh_here(site, NOW).rolled_up
    assert (done.changes.rows_read, done.changes.hours_changed) == (0, 0)
    renewed = {row["hour"]: row["fingerprint"] for row in published_rows(site, "hour_ledger")}
    assert renewed.keys() == ledger.keys()
    assert all(renewed[hour] != ledger[hour] for hour in ledger)
    add_rows(site.source, [execution(NOW - 5 * DAY)])
    assert refresh_here(site, NOW).rolled_up.changes.hours_changed == 1


@pytest.mark.parametrize("full", [False, True])
def test_pruned_in_the_middle_of_an_hour(tmp_path: Path, *, full: bool) -> None:
    """To the row: what the owner removed by age stays, whatever is looked at next."""
    settings = settings_for(tmp_path, rules={})
    moments = [NOW - timedelta(minutes=20 * n) for n in range(1, 6 * 24 * 3)]
    make_source(settings.source, [execution(moment) for moment in moments])
    refresh_here(settings, NOW)
    for limit in (datetime(2026, 5, 16, 3, 25), datetime(2026, 5, 19, 9, 25), NOW):
        change_source(settings.source, "DELETE FROM executions WHERE timestamp < $t", t=limit)
        refresh_here(settings, NOW, full=full)
        assert total(settings) == len(moments)
    late = NOW + timedelta(minutes=1)
    add_rows(settings.source, [execution(late)])
    refresh_here(settings, late + timedelta(minutes=1), full=full)
    assert total(settings) == len(moments) + 1


def test_a_late_row_in_a_pruned_hour(tmp_path: Path) -> None:
    """It counts as long as the rows beside it are known; later it cannot."""
    settings = settings_for(tmp_path, rules={})
    moments = [NOW - timedelta(minutes=20 * n) for n in range(1, 4 * 24 * 3)]
    make_source(settings.source, [execution(moment) for moment in moments])
    refresh_here(settings, NOW)
    limit = datetime(2026, 5, 20, 7, 25)
    change_source(settings.source, "DELETE FROM executions WHERE timestamp < $t", t=limit)
    refresh_here(settings, NOW)
    for count, late in enumerate(("2026-05-20 05:00", "2026-05-20 07:01", "2026-05-18 00:00"), 1):
        add_rows(settings.source, [execution(datetime.fromisoformat(late))])
        done = refresh_here(settings, NOW).rolled_up
        assert total(settings) == len(moments) + count
        assert done.changes.unrepairable_hours == 0
    add_rows(settings.source, [execution(datetime(2026, 5, 17, 23, 59))])
    done = refresh_here(settings, NOW).rolled_up
    assert done.changes.unrepairable_hours == 1
    assert total(settings) == len(moments) + 3
    assert refresh_here(settings, NOW).rolled_up.changes.unrepairable_hours == 0


def test_late_rows_that_outnumber_the_pruned_ones(tmp_path: Path) -> None:
    """They come into the very hour that pruning cut, between two refreshes."""
    settings = settings_for(tmp_path, rules={})
    minutes = [datetime(2026, 5, 20, 9, n) for n in (0, 10, 40, 50)]
    make_source(settings.source, [execution(moment) for moment in minutes])
    refresh_here(settings, NOW)
    change_source(settings.source, "DELETE FROM executions WHERE timestamp < '2026-05-20 09:30:00'")
    add_rows(settings.source, [execution(datetime(2026, 5, 20, 9, 35 + n)) for n in range(5)])
    refresh_here(settings, NOW)
    assert total(settings) == 4 + 5


def test_a_restored_backup_is_not_counted_twice(tmp_path: Path) -> None:
    """Rows that were pruned and are there again are the same rows, with an id or without."""
    settings = settings_for(tmp_path, rules={})
    rows = [
        execution(NOW - timedelta(minutes=25 * n), task_id=None if n % 3 == 0 else f"task {n}")
        for n in range(1, 5 * 24)
    ]
    make_source(settings.source, rows)
    refresh_here(settings, NOW)
    change_source(
        settings.source, "DELETE FROM executions WHERE timestamp < $t", t=NOW - timedelta(hours=20)
    )
    refresh_here(settings, NOW)
    for restored in (rows[60:70], rows[50:60], rows[48:50], rows[70:]):
        add_rows(settings.source, restored)
        refresh_here(settings, NOW)
        assert total(settings) == len(rows)
    states = {row["state"] for row in published_rows(settings, "hour_ledger")}
    assert states == {"whole"}


def test_an_emptied_source_keeps_its_history(site: Settings) -> None:
    """Nothing left at all is pruning too; what comes next is added."""
    rows = total(site)
    change_source(site.source, "DELETE FROM executions")
    refresh_here(site, NOW, full=True)
    assert total(site) == rows
    assert {row["state"] for row in published_rows(site, "hour_ledger")} == {"pruned"}
    for count in (1, 2):
        later = NOW + timedelta(minutes=10 * count)
        add_rows(site.source, [execution(later - timedelta(minutes=1))])
        refresh_here(site, later)
        assert total(site) == rows + count
