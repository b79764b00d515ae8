"""Reading what is published: one generation, whole, and nothing beside it."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dbmon_pipeline.core.common.errors import NotPublishedError
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline_tests.helpers import (
    add_rows,
    execution,
    make_source,
    refresh_core,
    settings_for,
)

AS_OF = datetime.fromisoformat("2026-02-10T12:00")
AT = datetime.fromisoformat("2026-02-10T09:30")


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with three executions, which no test changes."""
    made = settings_for(tmp_path_factory.mktemp("published"), rules={})
    make_source(made.source, [execution(AT + timedelta(hours=n), task_id=f"{n}") for n in range(3)])
    refresh_core(made, AS_OF)
    return made


@pytest.fixture
def settings(refreshed: Settings, tmp_path: Path) -> Settings:
    """The same at a path that needs care, for one test."""
    made = settings_for(tmp_path / "it's [one] {a,b} home*", rules={})
    shutil.copytree(refreshed.home.path, made.home.path, symlinks=True)
    shutil.copy(refreshed.source, made.source)
    return made


def test_rows_come_in_the_order_of_the_key(settings: Settings) -> None:
    """All of them, or the last so many."""
    published = Published(settings.home)
    at = published.rows("recent_executions").columns.index("task_id")
    assert [row[at] for row in published.rows("recent_executions").rows] == ["0", "1", "2"]
    assert [row[at] for row in published.rows("recent_executions", limit=2).rows] == ["1", "2"]


def test_a_reader_stays_in_its_generation(settings: Settings) -> None:
    """Whatever is published meanwhile."""
    before = Published(settings.home)
    add_rows(settings.source, [execution(AS_OF, task_id="new")])
    refresh_core(settings, AS_OF + timedelta(hours=1))
    assert len(before.rows("recent_executions").rows) == 3
    assert len(Published(settings.home).rows("recent_executions").rows) == 4
    assert Published(settings.home).manifest.generation == before.manifest.generation + 1


def test_an_old_generation_that_is_gone_is_told(settings: Settings) -> None:
    """Three are kept, and the fourth refresh removes the first."""
    before = Published(settings.home)
    for hours in (1, 2, 3):
        refresh_core(settings, AS_OF + timedelta(hours=hours))
    with pytest.raises(NotPublishedError, match=r"recent_executions cannot be read .*: run"):
        before.rows("recent_executions")


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_a_damaged_file_is_told(settings: Settings, content: bytes | None) -> None:
    """With the folder that it lies in."""
    published = Published(settings.home)
    (path,) = published.files("recent_executions")
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(NotPublishedError) as raised:
        published.rows("recent_executions")
    assert str(raised.value).startswith(f"{path.parent} cannot be read (")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format_version": 2}', "\xff"])
def test_a_manifest_that_cannot_be_understood_is_told(settings: Settings, text: str) -> None:
    """It is the only file that says what is there."""
    path = settings.home.current / "manifest.json"
    path.unlink()
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(NotPublishedError, match=r"manifest\.json cannot be understood") as raised:
        Published(settings.home)
    assert "\n" not in str(raised.value)


def _file(name: str) -> dict[str, object]:
    return {"name": name, "rows": 1, "bytes": 1}


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("as_of", "0001-01-01T00:00:00", "as_of lies before 1970"),
        ("as_of", "2026-02-10T12:00:00Z", "Expected `datetime` with no timezone"),
        ("data_through", "2026-02-10T12:00:00+02:00", "no timezone"),
        ("executions", 10**400, "Expected `int`"),
        ("generation", -1, "Expected `int` >= 0"),
        ("data_through", None, "Expected `datetime`, got `null`"),
        ("source", {"size_bytes": "abc"}, "Expected `int`, got `str` - at `$.source.size_bytes`"),
        ("source", {}, "missing required field `path`"),
        ("tables", {"t": [_file("2026-13.parquet")]}, "month must be in"),
        ("tables", {"t": [_file("")]}, "'' is no file of a table"),
        ("tables", {"t": [_file("../../x.parquet")]}, "invalid literal for int"),
        ("tables", {"t": [{"name": "2026.parquet", "rows": 1}]}, "missing required field `bytes`"),
    ],
)
def test_a_manifest_that_says_nonsense_is_told(
    settings: Settings, field: str, value: object, problem: str
) -> None:
    """Field by field, before anything is made of it."""
    path = settings.home.current / "manifest.json"
    manifest = json.loads(path.read_text("utf-8")) | {field: value}
    path.unlink()
    path.write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(NotPublishedError, match=r"manifest\.json cannot be understood") as raised:
        Published(settings.home)
    assert problem in str(raised.value)


@pytest.mark.parametrize("old", [{}, {"format_version": 1}])
def test_what_version_0_1_published_cannot_be_continued(
    settings: Settings, old: dict[str, int]
) -> None:
    """It is told what to do with its home."""
    path = settings.home.current / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    del manifest["format_version"]
    path.unlink()
    path.write_text(json.dumps(manifest | old), "utf-8")
    with pytest.raises(NotPublishedError, match=r"was written by dbmon 0\.1, whose") as raised:
        Published(settings.home)
    assert raised.value.remedy == (
        "run dbmon refresh with another home, or remove this one and begin anew"
    )


def test_what_a_newer_version_published_is_not_to_be_removed(settings: Settings) -> None:
    """It is this version that is too old."""
    path = settings.home.current / "manifest.json"
    manifest = json.loads(path.read_text("utf-8")) | {"format_version": 99}
    path.unlink()
    path.write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(NotPublishedError, match="written by a newer version of dbmon") as raised:
        Published(settings.home)
    assert raised.value.remedy == "upgrade dbmon-pipeline"


def test_a_link_that_leads_to_itself_is_told_and_heals(settings: Settings) -> None:
    """By the next refresh."""
    settings.home.current.unlink()
    settings.home.current.symlink_to("current")
    with pytest.raises(NotPublishedError, match="current is a link that leads to itself"):
        Published(settings.home)
    refresh_core(settings, AS_OF)
    assert len(Published(settings.home).rows("recent_executions").rows) == 3


def test_a_table_that_this_version_does_not_know_is_read(settings: Settings) -> None:
    """A later version may have published more, and its key is not known here."""
    path = settings.home.current.resolve() / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["tables"]["of_tomorrow"] = manifest["tables"]["recent_executions"]
    path.unlink()
    path.write_text(json.dumps(manifest))
    published = Published(settings.home)
    (path.parent / "recent_executions").rename(path.parent / "of_tomorrow")
    assert sorted(str(row[0]) for row in published.rows("of_tomorrow").rows) == ["0", "1", "2"]
    assert [row[0] for row in published.rows("of_tomorrow", limit=1).rows] == ["2"]


@pytest.mark.parametrize("table", ["executions", "recent_execution", "../x", "", "a'b", "Manifest"])
def test_an_unknown_table_is_told_with_those_there_are(settings: Settings, table: str) -> None:
    """And with the one that was probably meant."""
    with pytest.raises(NotPublishedError, match="the tables are check_history, ") as raised:
        Published(settings.home).rows(table)
    meant = "did you mean recent_executions?" in str(raised.value)
    assert meant is table.startswith(("exec", "recent"))


def test_a_table_that_an_older_version_did_not_publish(settings: Settings) -> None:
    """It is no other one that was meant."""
    path = settings.home.current.resolve() / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["tables"]["refresh_history"]
    path.unlink()
    path.write_text(json.dumps(manifest))
    with pytest.raises(NotPublishedError, match="the table refresh_history is not in") as raised:
        Published(settings.home).rows("refresh_history")
    assert str(raised.value).endswith(": run dbmon refresh")
