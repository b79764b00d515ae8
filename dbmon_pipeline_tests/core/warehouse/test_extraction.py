"""The history of what refreshes read, against what they said when they did it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.source.redaction import Redactor
from dbmon_pipeline.core.source.source import Source
from dbmon_pipeline.core.warehouse.extract import extract
from dbmon_pipeline.core.warehouse.opening import open_warehouse
from dbmon_pipeline.core.warehouse.plan import Scope
from dbmon_pipeline_tests.helpers import (
    HOLD_DATABASE,
    Refreshed,
    add_rows,
    change_source,
    execution,
    make_source,
    published_rows,
    refresh_core,
    running,
    settings_for,
)

NOW = datetime(2026, 5, 20, 12, 30)
LATER = NOW + timedelta(minutes=20)


@pytest.fixture
def site(tmp_path: Path) -> Settings:
    """A source with an execution every two hours over six days, not refreshed yet."""
    settings = settings_for(tmp_path)
    moments = (NOW - timedelta(hours=n) for n in range(1, 6 * 24, 2))
    make_source(settings.source, [execution(moment) for moment in moments])
    return settings


def said(done: Refreshed, at: datetime) -> dict[str, object]:
    """The row that extractions become, added up one by one."""
    holds = [hold for each in done.extractions for hold in each.holds_ms]
    return {
        "as_of": at,
        "data_through": done.extractions[-1].data_through,
        "rows_extracted": sum(each.rows for each in done.extractions),
        "hours_touched": sum(len(each.hours) for each in done.extractions),
        "late_rows_repaired": sum(each.late_rows for each in done.extractions),
        "rows_gone": sum(each.rows_gone for each in done.extractions),
        "hours_left": done.extractions[-1].hours_left,
        "source_attaches": len(holds),
        "longest_lock_ms": max(holds, default=0.0),
        "total_lock_ms": pytest.approx(sum(holds)),
        "is_snapshot": any(each.snapshot for each in done.extractions),
    }


def test_each_instant_is_a_row(site: Settings) -> None:
    """New, late, deleted; two stretches of days; and from a snapshot."""
    expected = [said(refresh_core(site, NOW), NOW)]
    assert expected[0]["rows_extracted"] == 72
    add_rows(site.source, [execution(NOW - timedelta(days=days)) for days in (1, 5)])
    gone = NOW - timedelta(hours=7)
    change_source(site.source, "DELETE FROM executions WHERE timestamp = $at", at=gone)
    done = refresh_core(site, LATER, Scope.FULL)
    assert len(done.extractions) == 2
    expected.append(said(done, LATER))
    assert (expected[1]["late_rows_repaired"], expected[1]["rows_gone"]) == (2, 1)
    after = LATER + timedelta(minutes=10)
    add_rows(site.source, [execution(LATER)])
    with running(HOLD_DATABASE, site.source):
        expected.append(said(refresh_core(site, after), after))
    assert (expected[2]["is_snapshot"], expected[2]["source_attaches"]) == (True, 0)
    assert published_rows(site, "refresh_history") == expected


def test_the_same_instant_again_is_added_to_its_row(site: Settings) -> None:
    """The source was held once more."""
    first = refresh_core(site, NOW)
    add_rows(site.source, [execution(NOW - timedelta(hours=3))])
    again = refresh_core(site, NOW)
    both = Refreshed(
        first.extractions + again.extractions, again.rolled_up, again.publication, again.holds_ms
    )
    assert published_rows(site, "refresh_history") == [said(both, NOW)]


def test_what_fails_is_not_remembered(site: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row is part of the transaction in which the rows take effect."""
    refresh_core(site, NOW)
    add_rows(site.source, [execution(NOW)])
    with open_warehouse(site.home) as warehouse:
        settle = warehouse.add_pending

        def fail_at_the_end(tables: list[str], *rest: object) -> None:
            if tables == ["refresh_history"]:
                raise RuntimeError("killed")
            settle(tables, *rest)  # type: ignore[arg-type]

        monkeypatch.setattr(warehouse, "add_pending", fail_at_the_end)
        source = Source(site.source, site.config.source, warehouse.con, site.home.snapshots)
        redactor = Redactor(site.config.redaction)
        days = (NOW.date(), NOW.date())
        with pytest.raises(RuntimeError, match="killed"):
            extract(warehouse, source, site.config, redactor, days=days, as_of=LATER)
        remembered = warehouse.con.execute("SELECT as_of FROM refresh_history").fetchall()
    assert remembered == [(NOW,)]
