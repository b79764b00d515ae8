"""The source: every oddity of a good one is read; bad ones have a catalogue of their own."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from dbmon_pipeline.core.common.duck import connect, explain_source
from dbmon_pipeline.core.common.errors import ContractError, SourceError, SourceLockedError
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.schema.catalogue import ROLLED_UP
from dbmon_pipeline.core.schema.executions import COLUMNS, Role
from dbmon_pipeline.core.source.file_check import check_file, signature
from dbmon_pipeline_tests.helpers import (
    HOLD_DATABASE,
    Refreshed,
    add_row_to_log,
    add_rows,
    execution,
    make_odd_source,
    make_source,
    published_rows,
    refresh_core,
    running,
    settings_for,
    state_of,
)
from dbmon_pipeline_tests.histories import refresh_here

AS_OF = datetime.fromisoformat("2026-02-10T12:00")
AT = datetime.fromisoformat("2026-02-10T09:30")
DIMENSIONS = [column.name for column in COLUMNS if column.role is Role.DIMENSION]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A new home without rules, and a source that is not there yet."""
    return settings_for(tmp_path, rules={})


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        (
            "IO Error: Trying to read a database file with version number 99, but we can only read"
            " versions between 64 and 68.\nThe database file was created with a newer version",
            SourceError,
            "written by a newer DuckDB",
        ),
        (
            "Serialization Error: Serialized version 9 is not supported",
            SourceError,
            "written by a newer DuckDB",
        ),
        (
            'IO Error: Could not set lock on file "/x/learning.db": Conflicting lock is held in'
            " /usr/bin/python3.11 (PID 4711) by user me. See also https://duckdb.org/docs",
            SourceLockedError,
            "is locked: python3.11 (process 4711) holds it open for writing",
        ),
        (
            'IO Error: Could not set lock on file "/x/learning.db": Resource unavailable',
            SourceLockedError,
            "is locked: another process holds it open for writing",
        ),
        (
            "IO Error: Trying to read file with version 99, but we can only read storage versions"
            " between 64 and 69.",
            SourceError,
            "written by a newer DuckDB",
        ),
        ("IO Error: Could not read enough bytes", SourceError, "is damaged or cut short"),
    ],
)
def test_messages_of_duckdb_are_explained(
    tmp_path: Path, text: str, kind: type[SourceError], words: str
) -> None:
    """The texts are DuckDB's own, of the versions that are supported."""
    path = make_source(tmp_path / "learning.db")
    error = explain_source(path, duckdb.IOException(text))
    assert type(error) is kind
    assert f"{path} {words}" in str(error).replace("was written", "written")
    assert "\n" not in str(error)


def test_an_empty_source_is_none_to_complain_of(settings: Settings) -> None:
    """Every table has a file, with no row and all of its columns."""
    make_source(settings.source)
    manifest = refresh_here(settings, AS_OF).publication.manifest
    assert {t.name: manifest.rows(t.name) for t in ROLLED_UP} == {t.name: 0 for t in ROLLED_UP}
    for table in ROLLED_UP:
        (file,) = manifest.tables[table.name]
        with connect() as con:
            path = settings.home.current / table.name / file.name
            names = [row[0] for row in con.execute(f"DESCRIBE FROM '{path}'").fetchall()]
        assert set(table.key) < set(names)
    assert manifest.data_through == AS_OF


@pytest.mark.parametrize("kind", ["FLOAT[384]", "FLOAT[]", "VARCHAR", None])
def test_embeddings_of_any_kind_are_left_alone(settings: Settings, kind: str | None) -> None:
    """They are not read, nor are columns that nobody knows."""
    make_odd_source(settings.source, [execution(AT)], embedding=kind, surprise="STRUCT(a INTEGER)")
    refresh_here(settings, AS_OF)
    (row,) = published_rows(settings, "recent_executions")
    assert row["duration_seconds"] == 12.5
    assert not {"embedding", "surprise", "task_description"} & set(row)


def test_every_column_may_be_null(settings: Settings) -> None:
    """Dimensions become 'unknown', everything else stays NULL."""
    nothing = {column.name: None for column in COLUMNS if column.name != "timestamp"}
    make_source(settings.source, [execution(AT, **nothing), {**execution(AT), "timestamp": None}])
    profile = refresh_here(settings, AS_OF).rolled_up.profile
    assert (profile.rows, profile.rows_without_timestamp) == (1, 1)
    (row,) = published_rows(settings, "recent_executions")
    assert row.pop("timestamp") == AT
    assert row == dict.fromkeys(nothing) | dict.fromkeys(DIMENSIONS, "unknown")
    (hour,) = published_rows(settings, "hourly_summary")
    assert (hour["executions"], hour["successes"], hour["duration_count"]) == (1, 0, 0)
    assert (hour["repo"], hour["duration_sum"]) == ("unknown", None)


def bad_durations(settings: Settings, *, bad: int, good: int) -> Refreshed:
    """Refresh from a source in which some durations are no numbers, a minute apart."""
    rows = [
        execution(
            AT - timedelta(minutes=n),
            task_id=f"task {n}",
            duration_seconds="2.5" if n >= bad else f"{n} s",
        )
        for n in range(bad + good)
    ]
    make_odd_source(settings.source, rows, duration_seconds="VARCHAR")
    return refresh_here(settings, AS_OF)


def test_a_value_that_cannot_be_read_costs_that_value(settings: Settings) -> None:
    """It is counted, and named with its column and task; the row counts in all else."""
    done = bad_durations(settings, bad=3, good=5)
    assert done.rolled_up.quality["unreadable_values"] == 3
    named = {(bad.column, bad.value, bad.task_id) for bad in done.publication.manifest.bad_values}
    assert named == {("duration_seconds", f"{n} s", f"task {n}") for n in range(3)}
    hours = published_rows(settings, "hourly_summary")
    assert sum(int(str(hour["executions"])) for hour in hours) == 8
    assert sum(int(str(hour["duration_count"])) for hour in hours) == 5
    ledger = published_rows(settings, "hour_ledger")
    assert sum(int(str(hour["unreadable_values"])) for hour in ledger) == 3


def test_at_most_twenty_are_named(settings: Settings) -> None:
    """As many as there are values that can be read are no reason to stop."""
    done = bad_durations(settings, bad=30, good=30)
    assert done.rolled_up.quality["unreadable_values"] == 30
    assert len(done.publication.manifest.bad_values) == 20


@pytest.mark.parametrize(("bad", "good", "is_refused"), [(19, 0, False), (20, 19, True)])
def test_a_column_that_can_hardly_be_read_is_refused(
    settings: Settings, bad: int, good: int, *, is_refused: bool
) -> None:
    """More than half of twenty values or more: the figures would speak of little."""
    if is_refused:
        with pytest.raises(
            ContractError, match=r"20 of 39 values of executions\.duration_seconds .* '\d+ s'"
        ):
            bad_durations(settings, bad=bad, good=good)
        assert not settings.home.current.exists()
    else:
        assert bad_durations(settings, bad=bad, good=good).rolled_up.executions == bad


@pytest.mark.parametrize(
    "name",
    ["it's 'two' \"words\"", "100%20 what?a=1#b", "st*r [1]; DROP--", "l\N{SNOWMAN}rn\ning"],
)
def test_the_paths_may_be_odd(tmp_path: Path, name: str) -> None:
    """Of the source, which is linked to, and of the home; nothing is written beside either."""
    (tmp_path / "real").mkdir()
    made = make_source(tmp_path / "real" / "made.db", [execution(AT)])
    made.rename(made.with_name(f"{name}.db"))
    folder = tmp_path / name
    folder.mkdir()
    settings = settings_for(folder, rules={})
    settings.source.symlink_to(made.with_name(f"{name}.db"))
    refresh_here(settings, AS_OF)
    add_rows_at = made.with_name(f"{name}.db")
    add_rows_at.rename(made)
    add_rows(made, [execution(AT + timedelta(minutes=1))])
    made.rename(add_rows_at)
    refresh_here(settings, AS_OF)
    assert len(published_rows(settings, "recent_executions")) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"real", name}
    assert {path.name for path in folder.iterdir()} == {"home", "learning.db"}
    assert [path.name for path in (tmp_path / "real").iterdir()] == [f"{name}.db"]


def test_a_source_is_never_written(settings: Settings) -> None:
    """Neither the file, nor one beside it, nor a time of it; it may even be read-only."""
    make_source(settings.source, [execution(AT)])
    settings.source.chmod(0o444)
    stat = settings.source.stat()
    before = (hashlib.sha256(settings.source.read_bytes()).digest(), stat.st_mtime_ns)
    refresh_core(settings, AS_OF)
    stat = settings.source.stat()
    after = (hashlib.sha256(settings.source.read_bytes()).digest(), stat.st_mtime_ns)
    assert after == before
    assert {path.name for path in settings.source.parent.iterdir()} == {"learning.db", "home"}


def test_rows_that_wait_in_the_write_ahead_log_are_read(settings: Settings) -> None:
    """An owner that was killed leaves them there; the log stays where it is."""
    make_source(settings.source, [execution(AT)])
    add_row_to_log(settings.source)
    log = settings.source.with_name("learning.db.wal")
    before = log.read_bytes()
    refresh_here(settings, AS_OF)
    ids = {row["task_id"] for row in published_rows(settings, "recent_executions")}
    assert (len(ids), "new" in ids) == (2, True)
    assert log.read_bytes() == before


def test_a_source_that_its_owner_holds_is_read(settings: Settings) -> None:
    """Nobody waits for anybody."""
    make_source(settings.source, [execution(AT)])
    with running(HOLD_DATABASE, settings.source):
        done = refresh_core(settings, AS_OF).rolled_up
    assert (done.reading.read_as, done.executions) == ("live", 1)


def test_a_failed_refresh_changes_nothing(settings: Settings) -> None:
    """Not a file of what is published, and no draft is left."""
    make_source(settings.source, [execution(AT)])
    refresh_core(settings, AS_OF)
    before = state_of(settings.home)
    settings.source.write_bytes(settings.source.read_bytes()[:20_000])
    with pytest.raises(SourceError, match="is damaged or cut short"):
        refresh_core(settings, AS_OF + timedelta(hours=1))
    assert state_of(settings.home) == before
    assert [path.name for path in settings.home.generations.iterdir()] == ["000001"]


def test_the_profile_counts_what_lies_outside(settings: Settings) -> None:
    """Each row outside of the monitored time, by the reason."""
    offsets = [timedelta(0), timedelta(minutes=4, seconds=59), timedelta(minutes=5), timedelta(1)]
    rows = [execution(AS_OF + offset) for offset in offsets]
    rows += [{**execution(AS_OF), "timestamp": None}, execution(datetime(2022, 12, 31, 23, 59))]
    rows += [execution(datetime(2023, 1, 1)), execution(AS_OF - timedelta(seconds=1))]
    make_source(settings.source, rows)
    profile = refresh_here(settings, AS_OF).rolled_up.profile
    assert (profile.rows, profile.oldest) == (2, datetime(2023, 1, 1))
    assert (profile.future_rows, profile.far_future_rows) == (4, 2)
    assert (profile.too_old_rows, profile.rows_without_timestamp) == (1, 1)
    assert (profile.missing_columns, profile.schema_version) == ((), 1)


def test_the_signature_follows_every_write(tmp_path: Path) -> None:
    """It is all that the sensor looks at, every minute."""
    path = make_source(tmp_path / "learning.db", [execution(AT)])
    first = signature(path)
    assert signature(path) == first
    add_rows(path, [execution(AT)])
    second = signature(path)
    assert second != first
    path.with_name("learning.db.wal").write_bytes(b"x")
    assert signature(path) != second
    path.unlink()
    with pytest.raises(SourceError, match="does not exist"):
        signature(path)


@pytest.mark.parametrize(
    ("name", "log"), [("learning.db", "learning.db.wal"), ("q?a=1.db", "q.wal?a=1.db")]
)
def test_the_log_of_a_source_lies_beside_the_real_file(tmp_path: Path, name: str, log: str) -> None:
    """Wherever a link to it is, and with the suffix where DuckDB puts it."""
    real = tmp_path / "real" / name
    real.parent.mkdir()
    make_source(real.with_name("made.db"), [execution(AT)]).rename(real)
    link = tmp_path / "link.db"
    link.symlink_to(real)
    before = signature(link), signature(real)
    real.with_name(log).write_bytes(b"x")
    assert signature(link) != before[0]
    assert signature(real) != before[1]
    real.with_name(log).unlink()
    real.with_name(log).mkdir()
    for path in (link, real):
        with pytest.raises(SourceError, match="is a folder: remove it"):
            check_file(path)
