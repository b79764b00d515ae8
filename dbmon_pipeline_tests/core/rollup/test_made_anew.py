"""What a generation was made with has changed, or a file of it is damaged: days are made again."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.config.monitoring import Redaction
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.rollup import recent
from dbmon_pipeline.core.schema.catalogue import ROLLED_UP, TABLES
from dbmon_pipeline.core.schema.table import Table
from dbmon_pipeline_tests.helpers import (
    Row,
    Snapshot,
    add_rows,
    change_source,
    execution,
    make_source,
    published_rows,
    settings_for,
)
from dbmon_pipeline_tests.histories import inodes, refresh_here

NOW = datetime(2026, 3, 10, 12)
SECRET = "hunter2hunter2"  # noqa: S105
Whole = tuple[Settings, dict[str, list[dict[str, object]]]]
"""A home whose source still has all of it, and its tables."""


def rows_with_secrets() -> list[Row]:
    """Ten days, two rows an hour; two patterns that differ in the secret alone."""
    return [
        execution(
            NOW - timedelta(minutes=30 * n + 7),
            actual_cost=0.125,
            cost_estimate=0.25,
            success=n % 5 > 0,
            error_type=None if n % 5 else "Refused",
            error_message=None if n % 5 else f"refused {SECRET}",
            solution_summary=f"log in with {SECRET}{n % 2}",
            complexity_score=n % 100,
            peak_memory_mb=float(n % 9),
        )
        for n in range(10 * 48)
    ]


def begin(tmp_path: Path) -> Settings:
    """Publish ten days, of which the owner has pruned the first four and a half since."""
    settings = begin_whole(tmp_path)
    limit = datetime(2026, 3, 5, 0, 30)
    change_source(settings.source, "DELETE FROM executions WHERE timestamp < $t", t=limit)
    refresh_here(settings, NOW)
    return settings


def begin_whole(tmp_path: Path) -> Settings:
    """Publish ten days that the source still has."""
    settings = settings_for(tmp_path, rules={})
    make_source(settings.source, rows_with_secrets())
    refresh_here(settings, NOW)
    return settings


def tables(settings: Settings) -> dict[str, list[dict[str, object]]]:
    """Read all summary tables and the ledger."""
    return {
        name: published_rows(settings, name)
        for name in ("hour_ledger", *(table.name for table in ROLLED_UP))
    }


@pytest.fixture(scope="module")
def pruned_home(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """Ten days of which some are pruned, published once."""
    return Snapshot(begin(tmp_path_factory.mktemp("pruned")))


@pytest.fixture
def settings(pruned_home: Snapshot) -> Settings:
    """Those ten days, as if no test had changed anything."""
    return pruned_home.restore()


def redacting(settings: Settings, **patterns: str) -> Settings:
    """Add patterns to what is redacted."""
    config = settings.config
    known = config.redaction.patterns
    redaction = Redaction(patterns={**known, **patterns})
    return replace(settings, config=msgspec.structs.replace(config, redaction=redaction))


@pytest.mark.parametrize("by_hour", [False, True])
def test_new_patterns_of_redaction_reach_every_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, by_hour: bool
) -> None:
    """No file of the home has the secret any more: of pruned days neither, nor an old generation.

    Texts that become the same become one pattern, with the uses of both.
    """
    if by_hour:
        monkeypatch.setattr(recent, "_ONE_FILE_ROWS", 10)
    settings = begin(tmp_path)
    patterns = published_rows(settings, "solution_patterns")
    assert [row["usage_count"] for row in patterns] == [240, 240]
    before = tables(settings)
    settings = redacting(settings, ours=f"{SECRET}[01]?")
    refresh_here(settings, NOW)
    _assert_absent(settings, SECRET)
    (pattern,) = published_rows(settings, "solution_patterns")
    assert (pattern["solution_summary"], pattern["usage_count"]) == (
        "log in with [redacted ours]",
        480,
    )
    assert len(list((settings.home.published / "generations").iterdir())) == 1
    after = tables(settings)
    for name in ("hour_ledger", "hourly_summary", "tier_performance", "hourly_complexity"):
        assert after[name] == before[name], name
    by_day = {row["date"]: row["usage_count"] for row in after["daily_patterns"]}
    assert len(by_day) == len(after["daily_patterns"]) == 11
    assert by_day[date(2026, 3, 2)] == 48
    messages = {row["example_message"] for row in after["error_summary"]}
    assert messages == {"refused [redacted ours]"}
    assert refresh_here(settings, NOW).rolled_up.changes.rows_read == 0


def _assert_absent(settings: Settings, secret: str) -> None:
    with connect() as con:
        for file in settings.home.path.rglob("*"):
            if file.suffix == ".parquet":
                text = str(con.execute(f"FROM '{file}'").fetchall())
            else:
                text = file.read_bytes().decode(errors="replace") if file.is_file() else ""
            assert secret not in text, file


def test_a_select_that_changes_makes_its_days_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that the source holds; days that only we know keep their rows, without the new column."""
    before = tables(settings)
    select, table = Table.select.fget, TABLES["pool_performance"]  # type: ignore[attr-defined]

    def changed(self: Table) -> str:
        text = str(select(self))
        if self is table:
            return text.replace("AS total_tasks,", "AS total_tasks, max(repo) AS last_repo,")
        return text

    monkeypatch.setattr(Table, "select", property(changed))
    monkeypatch.setitem(table.__dict__, "digest", "another")
    done = refresh_here(settings, NOW).rolled_up
    assert done.changes.days == tuple(date(2026, 3, 5) + timedelta(days=n) for n in range(6))
    after = tables(settings)
    pools = after.pop("pool_performance")
    old = datetime(2026, 3, 5, 1)
    assert [row.pop("last_repo") for row in pools] == [
        None if row["hour"] < old else "org/api"  # type: ignore[operator]
        for row in before["pool_performance"]
    ]
    assert pools == before.pop("pool_performance")
    assert after == before
    with connect() as con:
        for file in (settings.home.current / "pool_performance").iterdir():
            columns = [row[0] for row in con.execute(f"DESCRIBE FROM '{file}'").fetchall()]
            assert "last_repo" in columns, file
    monkeypatch.setitem(table.__dict__, "digest", "another")
    assert refresh_here(settings, NOW).rolled_up.changes.rows_read == 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Ten days that are published and repaired."""
    settings = begin_whole(tmp_path_factory.mktemp("whole"))
    return settings, tables(settings)


@pytest.mark.parametrize(
    "table", [table.name for table in ROLLED_UP if table.name != "solution_patterns"]
)
def test_damaged_files_are_made_again(whole: Whole, table: str) -> None:
    """From the source, a file that is missing and one that is cut: nothing else changes."""
    settings, before = whole
    nodes = inodes(settings)
    damaged = {"2026-03-08.parquet": "missing", "2026-03-09.parquet": "cut"}
    for name, damage in damaged.items():
        _damage(settings.home.current.resolve() / table / name, damage)
    done = refresh_here(settings, NOW).rolled_up
    assert done.lost == ()
    assert tables(settings) == before
    files = {name for name, node in inodes(settings).items() if nodes.get(name) != node}
    days = {name.split("/")[1] for name in files if "_history/" not in name}
    assert days <= damaged.keys() | {"window.parquet", "empty.parquet"}
    assert {f"{table}/{name}" for name in damaged} <= files


def _damage(file: Path, damage: str) -> None:
    if damage == "cut":
        content = file.read_bytes()
        file.chmod(0o644)
        file.unlink()
        file.write_bytes(content[:-20])
    else:
        file.unlink()


def test_a_damaged_file_of_what_was_pruned_is_lost_by_name(settings: Settings) -> None:
    """The other tables keep those days."""
    before = tables(settings)
    current = settings.home.current.resolve()
    (current / "pool_performance" / "2026-03-02.parquet").unlink()
    (current / "daily_summary" / "2026-03-03.parquet").unlink()
    done = refresh_here(settings, NOW).rolled_up
    assert done.lost == ("pool_performance from 2026-03-02 to 2026-03-02",)
    after = tables(settings)
    day = date(2026, 3, 2)
    assert after.pop("pool_performance") == [
        row
        for row in before.pop("pool_performance")
        if row["hour"].date() != day  # type: ignore[attr-defined]
    ]
    assert after == before
    assert refresh_here(settings, NOW).rolled_up.lost == ()


@pytest.mark.parametrize("file", ["2026-03-02.parquet", "2026-03-05.parquet", "2026-03-09.parquet"])
def test_a_damaged_ledger_is_made_again(settings: Settings, file: str) -> None:
    """Of pruned hours from the summary, which keeps their figures; of others from the source."""
    before = tables(settings)
    (settings.home.current.resolve() / "hour_ledger" / file).unlink()
    refresh_here(settings, NOW)
    after = tables(settings)
    ledgers = [before.pop("hour_ledger"), after.pop("hour_ledger")]
    assert after == before
    same = ("hour", "state", "executions", "source_executions", "successes", "duration_sum")
    assert [[row[name] for name in same] for row in ledgers[1]] == [
        [row[name] for name in same] for row in ledgers[0]
    ]
    add_rows(settings.source, [execution(datetime(2026, 3, 9, 3))])
    assert refresh_here(settings, NOW).rolled_up.changes.hours_changed == 1


def test_a_lost_file_that_others_are_made_from(settings: Settings) -> None:
    """The daily and the hourly totals of pruned days stay, though the summary of them is lost."""
    before = tables(settings)
    (settings.home.current.resolve() / "hourly_summary" / "2026-03-02.parquet").unlink()
    done = refresh_here(settings, NOW).rolled_up
    assert done.lost == ("hourly_summary from 2026-03-02 to 2026-03-02",)
    after = tables(settings)
    assert len(after.pop("hourly_summary")) == len(before.pop("hourly_summary")) - 24
    assert after == before


def test_lost_patterns_are_made_again_as_far_as_texts_are_known(settings: Settings) -> None:
    """The texts of days that the source no longer holds are gone with the file."""
    before = published_rows(settings, "solution_patterns")
    (settings.home.current.resolve() / "solution_patterns" / "window.parquet").unlink()
    done = refresh_here(settings, NOW).rolled_up
    assert done.lost == ("solution_patterns from 2025-12-10 to 2026-03-10",)
    assert published_rows(settings, "solution_patterns") == before
