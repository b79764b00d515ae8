"""Publishing: readers keep their generation, old ones go, and a failure leaves the old one."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.common.errors import StorageError
from dbmon_pipeline.core.config.monitoring import Keep
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.generation import publish
from dbmon_pipeline.core.generation.publish import remove_old_generations
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.schema.catalogue import TABLES
from dbmon_pipeline_tests.helpers import (
    add_rows,
    execution,
    make_source,
    published_rows,
    settings_for,
    state_of,
)
from dbmon_pipeline_tests.histories import refresh_here
from dbmon_pipeline_tests.truth import assert_published, rows_of

NOW = datetime(2026, 3, 2, 12)
MINUTE = timedelta(minutes=1)
ROWS = 60


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A source with an execution every sixteen hours since January, which no test changes."""
    settings = settings_for(tmp_path_factory.mktemp("publish"), rules={})
    rows = [execution(NOW - timedelta(hours=16 * n + 1)) for n in range(ROWS - 1)]
    every_value = execution(
        NOW - timedelta(hours=5),
        error_type="Timeout",
        error_message="late",
        complexity_score=7,
        solution_summary="retry",
        peak_memory_mb=1.5,
    )
    make_source(settings.source, [*rows, every_value])
    refresh_here(settings, NOW)
    return settings


def copy_of(template: Settings, folder: Path) -> Settings:
    """Copy the source and the home to a folder; no rule is judged there."""
    made = settings_for(folder, rules={})
    shutil.copytree(template.home.path, made.home.path, symlinks=True)
    shutil.copy(template.source, made.source)
    return made


@pytest.fixture
def site(template: Settings, tmp_path: Path) -> Settings:
    """The same for one test."""
    return copy_of(template, tmp_path)


def go_on(settings: Settings, minute: int) -> None:
    """Refresh some minutes later, with one new row."""
    add_rows(settings.source, [execution(NOW + minute * MINUTE - timedelta(seconds=1))])
    refresh_here(settings, NOW + minute * MINUTE)


def generations(home: Home) -> list[str]:
    """List what lies in the folder of the generations, hidden folders too."""
    return sorted(path.name for path in home.generations.iterdir())


def test_a_reader_keeps_its_answers_until_its_generation_goes(site: Settings) -> None:
    """Of tables that it had read before, and of those that it asks for only then.

    Three generations are kept, or as many as are configured by then.
    """
    expected = {name: published_rows(site, name) for name in TABLES}
    fewer = settings_for(site.source.parent, rules={}, keep=Keep(generations=1))
    with Published(site.home) as reader:
        folder = reader.folder
        for name in ("hourly_summary", "refresh_history"):
            reader.rows(name)
        go_on(site, 1)
        go_on(site, 2)
        assert generations(site.home) == ["000001", "000002", "000003"]
        for name, rows in expected.items():
            answer = reader.rows(name)
            assert [dict(zip(answer.columns, row, strict=True)) for row in answer.rows] == rows
    go_on(site, 3)
    assert not folder.exists()
    assert generations(site.home) == ["000002", "000003", "000004"]
    go_on(fewer, 4)
    assert generations(site.home) == [site.home.generation.name] == ["000005"]
    assert_published(site.home, rows_of(site.source), NOW + 4 * MINUTE)


def test_the_oldest_go_by_their_number(tmp_path: Path) -> None:
    """Not by their name as a text; what is no generation stays."""
    home = Home(tmp_path)
    folders = ["000009", "999999", "1000000", "1000001", "notes", ".draft-1"]
    for name in folders:
        (home.generations / name / "table").mkdir(parents=True)
    (home.generations / "000007").touch()
    assert remove_old_generations(home, keep=2) == []
    assert generations(home) == sorted(["000007", *folders[2:]])


def test_an_old_generation_that_cannot_be_removed(
    site: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The refresh has published all the same, and the folder is named."""
    site = settings_for(site.source.parent, rules={}, keep=Keep(generations=1))
    old = site.home.generation

    def refuse(path: Path, ignore_errors: bool = False) -> None:
        if path == old:
            assert ignore_errors
        else:
            remove(path, ignore_errors=ignore_errors)

    remove = shutil.rmtree
    monkeypatch.setattr(shutil, "rmtree", refuse)
    go_on(site, 1)
    assert generations(site.home) == ["000001", "000002"]
    assert site.home.generation.name == "000002"
    assert f"{old} is out of date and could not be removed" in caplog.text
    monkeypatch.undo()
    go_on(site, 2)
    assert generations(site.home) == ["000003"]


def test_generations_that_were_never_published_go_first(
    site: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those that readers may have open."""
    with Published(site.home) as reader:
        break_link(monkeypatch)
        for minute in (1, 2, 3):
            with pytest.raises(StorageError):
                go_on(site, minute)
        monkeypatch.undo()
        go_on(site, 4)
        assert len(generations(site.home)) == 2
        assert reader.folder.exists()
    assert_published(site.home, rows_of(site.source), NOW + 4 * MINUTE)


def test_readers_never_see_a_broken_generation(site: Settings) -> None:
    """While generations are swapped, every answer is that of one of them, whole."""
    site = settings_for(site.source.parent, rules={}, keep=Keep(generations=50))
    stop, seen, failures = threading.Event(), set[tuple[int, int, int]](), list[Exception]()

    def read() -> None:
        while not stop.is_set():
            try:
                with Published(site.home) as published:
                    hours = published.rows("hourly_summary")
                    at = hours.columns.index("executions")
                    counted = sum(int(str(row[at])) for row in hours.rows)
                    recent = len(published.rows("recent_executions").rows)
                    seen.add((published.manifest.generation, counted, recent))
                time.sleep(0.01)
            except Exception as error:
                failures.append(error)
                return

    recent = len(published_rows(site, "recent_executions"))
    thread = threading.Thread(target=read)
    thread.start()
    try:
        for minute in range(1, 4):
            go_on(site, minute)
    finally:
        stop.set()
        thread.join()
    assert failures == []
    assert len(seen) > 1
    assert seen <= {(number + 1, ROWS + number, recent + number) for number in range(4)}


def test_columns_have_types_that_every_reader_knows(template: Settings) -> None:
    """In every file; a HUGEINT would turn into text in some readers."""
    allowed = {"BIGINT", "DOUBLE", "VARCHAR", "BOOLEAN", "DATE", "TIMESTAMP"}
    manifest = Published(template.home).manifest
    assert manifest.tables.keys() == TABLES.keys()
    with connect() as con:
        for name, files in manifest.tables.items():
            paths = [template.home.current / name / file.name for file in files]
            columns = set()
            for path in paths:
                described = con.execute("DESCRIBE FROM read_parquet($file)", {"file": str(path)})
                columns.add(tuple((row[0], row[1]) for row in described.fetchall()))
            assert len(columns) == 1, name
            assert {kind for _, kind in columns.pop()} <= allowed, name


def test_any_duckdb_reads_a_published_table_through_the_link(template: Settings) -> None:
    """With a plain pattern of names; the files that the manifest lists are all that there are."""
    manifest = Published(template.home).manifest
    for name, files in manifest.tables.items():
        folder = template.home.current / name
        assert {path.name for path in folder.iterdir()} == {file.name for file in files}
        [(rows,)] = duckdb.execute(f"SELECT count(*) FROM '{folder}/*.parquet'").fetchall()
        assert rows == manifest.rows(name)
        for file in files:
            status = (folder / file.name).stat()
            assert (status.st_size, status.st_mode & 0o777) == (file.bytes, 0o444)
    query = f"SELECT sum(executions) FROM '{template.home.current}/hourly_summary/*.parquet'"
    assert duckdb.execute(query).fetchall() == [(ROWS,)]


def failing(number: int) -> Callable[..., Any]:
    """Make a function that fails like the system does."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, {5: "Input/output error", 28: "No space left on device"}[number])

    return fail


def break_manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no room for the manifest."""
    monkeypatch.setattr(publish, "write_whole", failing(28))


def break_rename(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the draft keep its name."""
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        return failing(5)() if self.name.startswith(".draft-") else rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)


def break_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no room for a link."""
    monkeypatch.setattr(Path, "symlink_to", failing(28))


def break_swap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the link stay where it is."""
    replace = Path.replace

    def fail(self: Path, target: Path) -> Path:
        return failing(5)() if target.name == "current" else replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)


@pytest.fixture(scope="module")
def failing_site(template: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home in which one publication after the other fails, and each is made up for."""
    return copy_of(template, tmp_path_factory.mktemp("failing"))


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (break_manifest, "free some space on that disk"),
        (break_rename, "check the disk and the permissions"),
        (break_link, "free some space on that disk"),
        (break_swap, "check the disk and the permissions"),
    ],
)
def test_a_publication_that_fails_leaves_the_old_one(
    failing_site: Settings,
    broken: Callable[[pytest.MonkeyPatch], None],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing of it changes, and what was to be published is, by the next refresh."""
    home = failing_site.home
    published = Published(home).manifest.as_of
    add_rows(failing_site.source, [execution(published, repo="new")])
    before = state_of(home)
    broken(monkeypatch)
    with pytest.raises(StorageError, match=f"{words}.*; nothing published was lost"):
        refresh_here(failing_site, published + MINUTE)
    after = state_of(home)
    assert {name: after.get(name) for name in before} == before
    assert Published(home).manifest.as_of == published
    assert not list(home.generations.glob(".*"))
    monkeypatch.undo()
    refresh_here(failing_site, published + 2 * MINUTE)
    assert_published(home, rows_of(failing_site.source), published + 2 * MINUTE)
    assert {path.name for path in home.published.iterdir()} == {"current", "generations"}
    assert home.generation.name == generations(home)[-1]
