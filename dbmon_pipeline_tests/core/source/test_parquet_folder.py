"""A folder into which the owner exports Parquet files is as good a source as its database."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from dbmon_pipeline.core.common.duck import connect, quoted
from dbmon_pipeline.core.common.errors import ContractError, SourceError
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.doctor.examine import examine
from dbmon_pipeline.core.doctor.finding import Level
from dbmon_pipeline.core.source.file_check import signature
from dbmon_pipeline_tests.helpers import (
    Row,
    execution,
    make_source,
    run_dbmon,
    settings_for,
)
from dbmon_pipeline_tests.histories import refresh_here
from dbmon_pipeline_tests.truth import assert_published

AS_OF = datetime(2026, 3, 10, 12)
HOUR = timedelta(hours=1)


def exact(hours: float, **values: object) -> Row:
    """An execution of so many hours ago whose costs a FLOAT holds as they are."""
    return execution(
        AS_OF - hours * HOUR, **{"actual_cost": 0.125, "cost_estimate": 0.25, **values}
    )


def export(rows: Iterable[Row], path: Path) -> None:
    """Write rows as their owner does: whole, then under its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        database, draft = Path(folder) / "theirs.db", Path(folder) / "draft.parquet"
        make_source(database, rows)
        with connect(database) as con:
            con.execute(f"COPY executions TO {quoted(draft)} (FORMAT parquet)")
        path.with_name(f".{path.name}").write_bytes(draft.read_bytes())
    path.with_name(f".{path.name}").replace(path)


GOOD_ROWS = [exact(n + 1) for n in range(5)]


@pytest.fixture
def folder(tmp_path: Path) -> Settings:
    """Settings with a folder as the source, which is not there yet."""
    return replace(settings_for(tmp_path, rules={}), source=tmp_path / "exported")


def test_files_that_come_change_and_go(folder: Settings) -> None:
    """Each file is of a day; one comes late, one is exported again, one is withdrawn."""
    days = [[exact(24 * day + n + 1) for n in range(20)] for day in range(5)]
    for number in (0, 1, 3, 4):
        export(days[number], folder.source / f"2026/{number}.parquet")
    first = refresh_here(folder, AS_OF).rolled_up
    assert_published(folder.home, [row for n in (0, 1, 3, 4) for row in days[n]])
    assert (first.reading.read_as, first.reading.thrown_away) == ("files", 0)
    before = signature(folder.source)
    export(days[2], folder.source / "2026/2.parquet")
    changed = [{**row, "success": False} for row in days[1]]
    export(changed, folder.source / "2026/1.parquet")
    (folder.source / "2026/0.parquet").unlink()
    assert signature(folder.source) != before
    refresh_here(folder, AS_OF, full=True)
    assert_published(folder.home, [*changed, *days[2], *days[3], *days[4]])


def test_columns_go_by_name_whatever_file_has_them(folder: Settings) -> None:
    """An export of an older version lacks a column, and has another order."""
    rows = [exact(1), exact(2, user_rating=None)]
    export(rows[:1], folder.source / "new.parquet")
    export(rows[1:], folder.source / "whole.parquet")
    with connect() as con:
        old = folder.source / "old.parquet"
        con.execute(
            f"COPY (SELECT task_id, * EXCLUDE (task_id, user_rating)"
            f" FROM {quoted(folder.source / 'whole.parquet')}) TO {quoted(old)}"
        )
    (folder.source / "whole.parquet").unlink()
    refresh_here(folder, AS_OF)
    assert_published(folder.home, rows)


def test_files_that_are_still_being_written_are_left(folder: Settings) -> None:
    """Their names begin with a dot, or that of a folder above them does."""
    rows = [exact(1)]
    export(rows, folder.source / "good.parquet")
    (folder.source / ".draft.parquet").write_bytes(b"PAR1 and no more")
    (folder.source / ".tmp").mkdir()
    (folder.source / ".tmp/a.parquet").write_bytes(b"PAR1")
    (folder.source / "notes.txt").write_text("not ours")
    refresh_here(folder, AS_OF)
    assert_published(folder.home, rows)


def test_a_name_is_no_pattern(tmp_path: Path) -> None:
    """What lies beside the folder is not read, and what is no file is none."""
    settings = replace(settings_for(tmp_path, rules={}), source=tmp_path / "st*r [1]?")
    rows = [exact(1)]
    export(rows, settings.source / "o'brien*.parquet")
    export([exact(2)], tmp_path / "stXr 1b" / "o'brien*.parquet")
    export([exact(3)], tmp_path / "st*r [1]b" / "o'brien*.parquet")
    (settings.source / "folder.parquet").mkdir()
    os.mkfifo(settings.source / "pipe.parquet")
    refresh_here(settings, AS_OF)
    assert_published(settings.home, rows)


@pytest.fixture(scope="module")
def read_once(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A folder with a good file, and what was published from it."""
    place = tmp_path_factory.mktemp("read")
    settings = replace(settings_for(place, rules={}), source=place / "exported")
    export(GOOD_ROWS, settings.source / "good.parquet")
    refresh_here(settings, AS_OF)
    return settings


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, SourceError, "is a folder without Parquet files"),
        (b"", SourceError, "holds a file that cannot be read"),
        (b"PAR1 torn", SourceError, "holds a file that cannot be read"),
        ("SELECT 1 AS task_id", ContractError, "executions has no column"),
    ],
)
def test_what_cannot_be_read_is_told(
    read_once: Settings, content: bytes | str | None, error: type[SourceError], message: str
) -> None:
    """What is published stays."""
    good, bad = read_once.source / "good.parquet", read_once.source / "bad.parquet"
    kept = good.read_bytes()
    if not isinstance(content, bytes):
        good.unlink()
    if isinstance(content, str):
        with connect() as con:
            con.execute(f"COPY ({content}) TO {quoted(bad)}")
    elif content is not None:
        bad.write_bytes(content)
    try:
        with pytest.raises(error, match=message) as caught:
            refresh_here(read_once, AS_OF)
    finally:
        good.write_bytes(kept)
        bad.unlink(missing_ok=True)
    assert str(read_once.source) in str(caught.value)
    assert_published(read_once.home, GOOD_ROWS)


def test_the_commands_take_a_folder(folder: Settings, tmp_path: Path) -> None:
    """A refresh, the health check without a pipeline, and the doctor."""
    rows = [exact(n / 4 + 0.1, success=n % 4 > 0) for n in range(40)]
    export(rows, folder.source / "o'brien [1].parquet")
    where = ("--source", str(folder.source), "--home", str(tmp_path / "home"))
    done = run_dbmon("refresh", *where, "--as-of", f"{AS_OF.isoformat()}Z")
    assert done.returncode == 0, done.stderr
    assert_published(folder.home, rows)
    as_of = ("--as-of", f"{AS_OF.isoformat()}Z", "--format", "json")
    told = json.loads(run_dbmon("status", "--db", str(folder.source), *as_of).stdout)
    assert told["executions"]["total"] == 40
    (source,) = [finding for finding in examine(folder) if finding.name == "source"]
    assert source.level == Level.OK
    assert "1 Parquet files" in source.seen
