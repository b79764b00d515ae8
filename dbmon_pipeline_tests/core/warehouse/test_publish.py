"""Publishing: whole generations, at the cost of what has changed."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.common.errors import StorageError
from dbmon_pipeline.core.config.monitoring import Keep
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.schema.catalogue import PUBLISHED
from dbmon_pipeline.core.warehouse import publish as publishing
from dbmon_pipeline.core.warehouse.plan import Scope
from dbmon_pipeline_tests.helpers import (
    add_rows,
    execution,
    make_source,
    published_rows,
    refresh_core,
    settings_for,
)

NOW = datetime(2026, 3, 2, 12)


@pytest.fixture
def site(tmp_path: Path) -> Settings:
    """A source with an execution every eight hours since January, refreshed in March."""
    settings = settings_for(tmp_path)
    moments = [NOW - timedelta(hours=8 * n) for n in range(1, 120)]
    make_source(settings.source, [execution(moment, error_type="Timeout") for moment in moments])
    refresh_core(settings, NOW)
    return settings


def names(settings: Settings, table: str = "hourly_summary") -> list[str]:
    """The files of a table, as they lie in the folder."""
    return sorted(path.name for path in (settings.home.current / table).iterdir())


def test_closed_months_are_one_file_each_and_days_of_the_open_one(site: Settings) -> None:
    """The manifest and the folder agree, and every table has a file."""
    assert names(site) == [
        *("2026-01.parquet", "2026-02.parquet"),
        *("2026-03-01.parquet", "2026-03-02.parquet"),
    ]
    published = Published(site.home)
    assert published.manifest.tables.keys() == PUBLISHED.keys()
    for table, files in published.manifest.tables.items():
        assert [file.name for file in files] == names(site, table)
        for file in files:
            path = published.folder / table / file.name
            with connect() as con:
                rows = con.execute("SELECT count(*) FROM read_parquet($f)", {"f": str(path)})
                assert rows.fetchall() == [(file.rows,)]
            assert path.stat().st_mode & 0o777 == 0o444


def test_a_month_that_closes_becomes_one_file(site: Settings) -> None:
    """Its day files go, its rows stay, and months before it are carried over."""
    rows = published_rows(site, "hourly_summary")
    february = (site.home.current / "hourly_summary" / "2026-02.parquet").stat().st_ino
    refresh_core(site, datetime(2026, 4, 1, 0, 5))
    assert names(site) == ["2026-01.parquet", "2026-02.parquet", "2026-03.parquet"]
    assert published_rows(site, "hourly_summary") == rows
    inode = (site.home.current / "hourly_summary" / "2026-02.parquet").stat().st_ino
    assert inode == february


def test_a_late_row_in_a_closed_month_rewrites_that_month(site: Settings) -> None:
    """And nothing else of that table."""
    folder = site.home.current.resolve() / "daily_summary"
    before = {path.name: path.stat().st_ino for path in folder.iterdir()}
    add_rows(site.source, [execution(datetime(2026, 2, 3, 4, 5), repo="late")])
    refresh_core(site, NOW, Scope.FULL)
    folder = site.home.current.resolve() / "daily_summary"
    after = {path.name: path.stat().st_ino for path in folder.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"2026-02.parquet"}
    assert [
        row["executions"] for row in published_rows(site, "daily_summary") if row["repo"] == "late"
    ] == [1]


def test_a_day_that_empties_loses_its_file(site: Settings) -> None:
    """Rows that were deleted leave no empty file behind."""
    with connect(site.source) as con:
        con.execute("DELETE FROM executions WHERE CAST(timestamp AS DATE) = DATE '2026-03-01'")
    refresh_core(site, NOW)
    assert "2026-03-01.parquet" not in names(site)
    assert names(site, "error_summary") == names(site)


def test_only_the_last_generations_stay(site: Settings) -> None:
    """As many as are configured; a reader in mid-flight keeps its own until then."""
    reader = Published(site.home)
    rows = reader.rows("tier_performance")
    for minute in (1, 2):
        refresh_core(site, NOW + timedelta(minutes=minute))
        assert reader.rows("tier_performance") == rows
    refresh_core(site, NOW + timedelta(minutes=3))
    folders = sorted(path.name for path in (site.home.published / "generations").iterdir())
    assert folders == ["000002", "000003", "000004"]
    assert site.home.current.resolve().name == "000004"


def test_a_publication_that_fails_leaves_the_old_one(
    site: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was to be published is still to be published, by the next refresh."""
    add_rows(site.source, [execution(NOW + timedelta(minutes=1), repo="new")])
    before = Published(site.home).manifest

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publishing, "_swap_in", full)
    with pytest.raises(StorageError, match="free some space"):
        refresh_core(site, NOW + timedelta(hours=1))
    assert Published(site.home).manifest == before
    assert [path.name for path in (site.home.published / "generations").iterdir()] == ["000001"]
    monkeypatch.undo()
    refresh_core(site, NOW + timedelta(hours=1))
    assert [row for row in published_rows(site, "hourly_summary") if row["repo"] == "new"]


def test_lost_files_are_made_again(site: Settings) -> None:
    """From the warehouse, when a file of the generation before is gone, or all of it."""
    rows = published_rows(site, "pool_performance")
    lost = site.home.current.resolve() / "pool_performance" / "2026-01.parquet"
    lost.unlink()
    refresh_core(site, NOW)
    assert published_rows(site, "pool_performance") == rows
    site.home.current.unlink()
    refresh_core(site, NOW)
    assert published_rows(site, "pool_performance") == rows


def test_columns_have_types_that_every_reader_knows(site: Settings) -> None:
    """A HUGEINT would turn into text in some of them."""
    allowed = {"BIGINT", "DOUBLE", "VARCHAR", "BOOLEAN", "DATE", "TIMESTAMP"}
    with connect() as con:
        for name in PUBLISHED:
            found = con.execute(
                "DESCRIBE SELECT * FROM read_parquet($files)",
                {"files": [str(path) for path in Published(site.home).files(name)]},
            ).fetchall()
            assert {row[1] for row in found} <= allowed, name


def test_readers_never_see_a_broken_generation(site: Settings) -> None:
    """While generations are swapped in, every answer is one of the published ones, whole."""
    stop = threading.Event()
    seen: set[tuple[int, int]] = set()
    failures: list[Exception] = []

    def read() -> None:
        while not stop.is_set():
            try:
                published = Published(site.home)
                rows = published.rows("recent_executions").rows
                assert len(rows) == published.manifest.rows("recent_executions")
                seen.add((published.manifest.generation, len(rows)))
            except Exception as error:
                failures.append(error)
                return

    site = _keeping(site, 50)
    thread = threading.Thread(target=read)
    thread.start()
    for minute in range(1, 6):
        add_rows(site.source, [execution(NOW + timedelta(minutes=minute))])
        refresh_core(site, NOW + timedelta(minutes=minute, seconds=1))
    stop.set()
    thread.join()
    assert failures == []
    assert len(seen) > 1
    assert seen <= {(1, 6), *((generation, generation + 4) for generation in range(2, 7))}


def test_a_published_table_is_read_without_the_package(site: Settings) -> None:
    """Any DuckDB reads it through the link, in another process."""
    code = "import duckdb, sys; print(duckdb.sql(sys.argv[1]).fetchall()[0][0])"
    query = f"SELECT sum(executions) FROM '{site.home.current}/hourly_summary/*.parquet'"
    done = subprocess.run(
        [sys.executable, "-c", code, query], capture_output=True, text=True, check=True
    )
    assert done.stdout == "119\n"


def _keeping(settings: Settings, generations: int) -> Settings:
    return settings_for(settings.source.parent, keep=Keep(generations=generations))
