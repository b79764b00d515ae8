"""The history of refreshes: what each instant read, against what had happened to the source."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dbmon_pipeline.core.changes.request import RefreshRequest
from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.refresh.refresh import open_refresh
from dbmon_pipeline.core.source.live_view import LiveView
from dbmon_pipeline_tests.helpers import (
    HOLD_DATABASE,
    Refreshed,
    add_rows,
    change_source,
    execution,
    make_source,
    published_rows,
    running,
    settings_for,
)
from dbmon_pipeline_tests.histories import ReaderInHere, inodes, refresh_here
from dbmon_pipeline_tests.truth import rows_of

NOW = datetime(2026, 5, 20, 12, 30)
HOUR = timedelta(hours=1)
HISTORY = "refresh_history"


@pytest.fixture
def site(tmp_path: Path) -> Settings:
    """A source with an execution every two hours over six days, not refreshed yet."""
    settings = settings_for(tmp_path, rules={})
    make_source(settings.source, [execution(NOW - n * HOUR) for n in range(1, 6 * 24, 2)])
    return settings


def entry(done: Refreshed, as_of: datetime, **figures: object) -> dict[str, object]:
    """The row of a refresh: its figures, those that are not given being 0, and its readings."""
    counted = ("rows_read", "hours_changed", "late_rows", "rows_gone", "unrepairable_hours")
    reading = done.rolled_up.reading
    assert reading.readings > 0
    return {
        "as_of": as_of,
        "data_through": as_of,
        **dict.fromkeys(counted, 0),
        "read_as": "live",
        "readings": reading.readings,
        "readings_thrown_away": 0,
        "bytes_read": reading.bytes_read,
        **figures,
    }


def rows_of_days(settings: Settings, as_of: datetime, moments: Collection[datetime]) -> int:
    """Count the rows that the source has before an instant, of the days of some moments."""
    days = {moment.date() for moment in moments}
    stamps = [row["timestamp"] for row in rows_of(settings.source)]
    return sum(stamp < as_of and stamp.date() in days for stamp in stamps)


def test_each_instant_is_a_row(site: Settings) -> None:
    """New, late, changed and deleted rows; a held source; then an owner that prunes."""
    size = site.source.stat().st_size
    done = refresh_here(site, NOW)
    expected = [entry(done, NOW, rows_read=72, hours_changed=72)]
    assert size / 2 < done.rolled_up.reading.bytes_read < 20 * size

    at = NOW + HOUR
    late = [NOW - 24 * HOUR, NOW - 101 * HOUR, NOW - 101 * HOUR]
    changed, gone, new = NOW - 51 * HOUR, NOW - 7 * HOUR, NOW + HOUR / 2
    add_rows(site.source, [execution(moment) for moment in (*late, new, at + HOUR)])
    change_source(
        site.source, "UPDATE executions SET actual_cost = 7 WHERE timestamp = $at", at=changed
    )
    read = rows_of_days(site, at, (*late, changed, new))
    done = refresh_here(site, at, full=True)
    figures = {"hours_changed": 4, "late_rows": 3}
    expected.append(entry(done, at, rows_read=read, **figures))

    at += 2 * HOUR
    change_source(site.source, "DELETE FROM executions WHERE timestamp = $at", at=gone)
    read = rows_of_days(site, at, [gone, at])
    with running(HOLD_DATABASE, site.source):
        done = refresh_here(site, at)
    expected.append(entry(done, at, rows_read=read, hours_changed=2, rows_gone=1))

    limit, pruned = NOW - 80 * HOUR, NOW - 101 * HOUR
    change_source(site.source, "DELETE FROM executions WHERE timestamp < $limit", limit=limit)
    expected.append(entry(refresh_here(site, at + HOUR), at + HOUR))

    at += 2 * HOUR
    add_rows(site.source, [execution(pruned)])
    figures = {"rows_read": 1, "hours_changed": 1, "late_rows": 1, "unrepairable_hours": 1}
    expected.append(entry(refresh_here(site, at), at, **figures))
    assert published_rows(site, HISTORY) == expected


def test_the_same_instant_again_is_added_to_its_row(site: Settings) -> None:
    """Whether or not there was something to do; that of another instant stays."""
    first = refresh_here(site, NOW)
    later = NOW + 12 * HOUR
    done = [refresh_here(site, later)]
    add_rows(site.source, [execution(NOW - 3 * HOUR)])
    read = rows_of_days(site, later, [NOW - 3 * HOUR])
    done += [refresh_here(site, later), refresh_here(site, later)]
    readings = [each.rolled_up.reading for each in done]
    assert published_rows(site, HISTORY) == [
        entry(first, NOW, rows_read=72, hours_changed=72),
        entry(
            done[0],
            later,
            **{"rows_read": read, "hours_changed": 1, "late_rows": 1},
            readings=sum(each.readings for each in readings),
            bytes_read=sum(each.bytes_read for each in readings),
        ),
    ]
    assert [file for file in inodes(site) if file.startswith(HISTORY)] == [
        f"{HISTORY}/{day}.parquet" for day in (NOW.date(), later.date())
    ]


def test_readings_that_are_thrown_away_are_counted(
    site: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner writes during the first two readings of a refresh."""
    settle, calls = LiveView.settle, 0

    def write(view: LiveView, **how: Any) -> None:
        nonlocal calls
        calls += 1
        if calls <= 2:
            moment = time.time() - 10 * calls
            os.utime(site.source, (moment, moment))
        settle(view, **how)

    monkeypatch.setattr(LiveView, "settle", write)
    done = refresh_here(site, NOW)
    assert published_rows(site, HISTORY) == [
        entry(done, NOW, rows_read=72, hours_changed=72, readings=calls, readings_thrown_away=2)
    ]


def test_parquet_files_are_read_without_a_guard(tmp_path: Path, site: Settings) -> None:
    """How a source is read stands in the history, too."""
    folder = tmp_path / "files"
    folder.mkdir()
    with connect(site.source) as con:
        con.execute(f"COPY executions TO '{folder}/a.parquet' (FORMAT parquet)")
    files = settings_for(folder, rules={})
    files = Settings(folder, files.home, files.config)
    done = refresh_here(files, NOW)
    assert published_rows(files, HISTORY) == [
        entry(done, NOW, rows_read=72, hours_changed=72, read_as="files", bytes_read=0)
    ]


def test_a_refresh_that_is_not_published_is_not_remembered(site: Settings) -> None:
    """Its row is a part of what it would have published."""
    done = refresh_here(site, NOW)
    with (
        pytest.raises(ZeroDivisionError),
        open_refresh(site, RefreshRequest(as_of=NOW + HOUR)) as refresh,
    ):
        refresh.read(ReaderInHere(), lambda _: None)  # type: ignore[arg-type]
        refresh.judge()
        raise ZeroDivisionError
    again = refresh_here(site, NOW + HOUR)
    assert published_rows(site, HISTORY) == [
        entry(done, NOW, rows_read=72, hours_changed=72),
        entry(again, NOW + HOUR),
    ]
